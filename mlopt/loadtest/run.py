"""A load test from beginning to end: what is served, what is asked, the load, and what it comes to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from mlopt.core import network
from mlopt.core.hardware import detect
from mlopt.loadtest import judging
from mlopt.loadtest import request as requests
from mlopt.loadtest.answers import AnswerBook, AnswerCheck
from mlopt.loadtest.child import command, serving
from mlopt.loadtest.driver import LoadDriver, Tell, served
from mlopt.loadtest.figures import summed
from mlopt.loadtest.http import check_ready, event_loop, imported, metadata, session
from mlopt.loadtest.judging import LoadEvidence, judged
from mlopt.loadtest.payload import Payload, of_artifact, of_server
from mlopt.loadtest.request import LoadRequest
from mlopt.loadtest.target import InferTarget, inputs_of, is_url, parsed
from mlopt.results.environment import environment, now
from mlopt.results.serving import LoadTestRecord


def run(request: LoadRequest, tell: Tell) -> LoadTestRecord:
    """Put the load on and judge it; raises ``UserError``, or ``IntegrityError`` for an artifact that is not sound."""
    requests.check(request)
    imported()
    payload = None
    if request.truth is not None:
        tell("answer the samples here", str(request.truth), None)
        payload = of_artifact(request.truth, request.trust, request.payload)
    with network.opened(), _address(request, tell) as url:
        targets = [parsed(url, request.model or (payload.name if payload is not None else None))]
        if request.against is not None:
            targets.append(parsed(request.against, targets[0].model))
        with asyncio.Runner(loop_factory=partial(event_loop, request.max_in_flight)) as runner:
            return runner.run(_measured(request, targets, payload, tell))


@contextmanager
def _address(request: LoadRequest, tell: Tell) -> Iterator[str]:
    if is_url(request.target):
        yield request.target
        return
    tell("start the server", request.target, None)
    with serving(command(requests.folder(request), request.trusted)) as url:
        yield url


async def _measured(
    request: LoadRequest, targets: list[InferTarget], payload: Payload | None, tell: Tell
) -> LoadTestRecord:
    async with session(request.max_in_flight, request.time_limit_s) as client:
        for target in targets:
            await check_ready(client, target)
        if payload is None:
            described = inputs_of(await metadata(client, targets[0]), targets[0].model_url)
            payload = of_server(described, request.payload)
        check = AnswerCheck(payload.expected, payload.allowed or {}, payload.digest)
        books = [AnswerBook(check), *(AnswerBook(AnswerCheck(None, {})) for _ in targets[1:])]
        load = LoadDriver(request, client, targets, payload, books, tell)
        await load.warm()
        tell("load", f"{request.rate:g} requests/s for {request.seconds:g} s", None)
        volleys = await load.put(request.rate, request.seconds, request.seed, servers=len(targets))
        doubt = load.doubt(volleys, request.rate)
        figures = summed(volleys[0], request.rate, request.seconds, request.time_limit_s)
        compared = load.compared(*volleys) if len(volleys) > 1 else None
        ramp = await load.search() if request.ramp else None
    found = LoadEvidence(figures, ramp, doubt)
    gates = judged(request.gates, found)
    why = None if doubt is None else doubt[0]
    verdict, reasons = judging.verdict(gates, figures, compared, why)
    used = judging.utilization(request.rate, ramp)
    return LoadTestRecord(
        created=now(),
        served=served(targets[0], payload.digest),
        arrivals="constant" if request.constant else "poisson",
        seed=request.seed,
        time_limit_s=request.time_limit_s,
        max_in_flight=request.max_in_flight,
        samples=len(payload.messages),
        batch=request.batch,
        data=payload.source,
        checked=payload.checked,
        figures=figures,
        ramp=ramp,
        comparison=compared,
        utilization=None if used is None else used[1],
        utilization_between=used,
        doubt=why,
        remedy=None if doubt is None else doubt[1],
        gates=gates,
        verdict=verdict,
        reasons=reasons,
        notes=(*payload.notes, *_unchecked(check, payload.digest)),
        environment=environment(detect()),
    )


def _unchecked(check: AnswerCheck, digest: str | None) -> Iterator[str]:
    """Say so where an answer to another's question would not have been found, or nobody says what is served."""
    apart, count = check.told_apart()
    if count > apart:
        yield f"{count - apart} of {count} samples have an answer that would pass for that of the sample before it"
    if digest is not None and check.unnamed:
        yield "answers named no artifact: what is served is known by what it answers alone"
