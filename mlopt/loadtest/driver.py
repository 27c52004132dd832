"""Stretches of load on open connections: warm-up, one rate for so long, and the search for the highest."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlopt.gate.judge import overall
from mlopt.gate.limits import Gate
from mlopt.loadtest import arrivals, comparison, lateness, ramp
from mlopt.loadtest.answers import AnswerBook
from mlopt.loadtest.figures import cut, latencies_ms, summed
from mlopt.loadtest.http import HttpCaller
from mlopt.loadtest.judging import LoadEvidence, judged
from mlopt.loadtest.payload import Payload
from mlopt.loadtest.ramp import NextStep
from mlopt.loadtest.request import LoadRequest
from mlopt.loadtest.sender import WallClock, send_all
from mlopt.loadtest.slo import PERCENTILES, latency_limits, of_service
from mlopt.loadtest.target import InferTarget
from mlopt.loadtest.volley import Volley, joined
from mlopt.measure import statistics
from mlopt.results.serving import LoadFigures, RampRecord, RampStep, ServedComparison, ServerRecord

if TYPE_CHECKING:
    from aiohttp import ClientSession

Tell = Callable[[str, str, float | None], None]
"""Called with the stage at hand, the detail within it, and its share that is done."""
_WARM, _WARM_S = 16, 5.0
_STEP_S, _CONFIRM_S, _PAUSE_S = 4.0, 10.0, 0.2
_ROOM = 1.3
"""A Poisson stream may send fewer than a percentile takes."""


@dataclass
class LoadDriver:
    """Puts load on servers that are ready."""

    request: LoadRequest
    client: ClientSession
    targets: Sequence[InferTarget]
    payload: Payload
    books: Sequence[AnswerBook]
    tell: Tell

    async def warm(self) -> None:
        """Ask for each of the first samples once, one after the other, for some seconds; nothing of it counts."""
        count = min(_WARM, len(self.payload.messages)) * len(self.targets)
        caller = self._caller(count, 0, len(self.targets))
        end = time.monotonic() + _WARM_S
        for number in range(count):
            self.tell("warm up", "", number / count)
            await caller.ask(number)
            if time.monotonic() > end:
                break
        for book in self.books:
            book.settle(Volley.planned(np.zeros(count)))

    async def put(self, rate: float, seconds: float, seed: int, *, servers: int = 1) -> list[Volley]:
        """Send ``rate`` requests a second to each server, and return what became of them, by server."""
        times = arrivals.moments(servers * rate, seconds, seed, constant=self.request.constant)
        caller = self._caller(len(times), seed, servers)
        gc.collect()
        gc.freeze()  # what is there already is not looked through while requests are to be sent
        try:
            volley = await send_all(times, caller.ask, WallClock(), self.request.max_in_flight)
        finally:
            gc.unfreeze()
        self.tell("check the answers", "", None)
        for book in self.books[:servers]:
            book.settle(volley)
        return [volley.part(np.flatnonzero(caller.servers == server)) for server in range(servers)]

    def doubt(self, volleys: Sequence[Volley], rate: float) -> tuple[str, str] | None:
        """Return why the load was not what was asked for, and what to do about it; None if it was."""
        limits, most = latency_limits(self.request.gates), self.request.max_in_flight // len(volleys)
        found = (lateness.doubt(each, rate, most, limits) for each in volleys)
        return next((each for each in found if each is not None), None)

    def compared(self, one: Volley, other: Volley) -> ServedComparison:
        """Return how the first server's latencies differ from the other's."""
        request = self.request
        count = comparison.stretches(min(len(one.moments), len(other.moments)))
        sides = []
        for each in (one, other):
            whole = latencies_ms(each, request.time_limit_s)
            sides.append([whole[part] for part in cut(each.moments, request.seconds, count)])
        return ServedComparison(
            other=served(self.targets[1], None), differences=comparison.differences(*sides),
            figures=summed(other, request.rate, request.seconds, request.time_limit_s),
        )  # fmt: skip

    async def search(self) -> RampRecord:
        """Find the highest rate that keeps the limits, within the time that it may take."""
        request, steps = self.request, list[RampStep]()
        end = time.monotonic() + request.max_time
        while isinstance(step := ramp.next_step(steps, request.rate, request.highest), NextStep):
            seconds = step_seconds(step, request)
            if time.monotonic() + seconds > end:
                return ramp.record(steps, f"its time of {request.max_time:g} s was over (--max-time)")
            steps.append(await self._step(step, seconds, 1000 * (len(steps) + 1), end))
        return ramp.record(steps, step)

    async def _step(self, step: NextStep, seconds: float, seed: int, end: float) -> RampStep:
        """Try a rate until it is decided, or had its looks; one that was not put on as it should be says nothing."""
        looks: list[Volley] = []
        for look in range(1, ramp.LOOKS + 1):
            what = ", to confirm" if step.confirms else ""
            self.tell("search", f"{step.rate:.4g} requests/s{what}{f', look {look}' if look > 1 else ''}", None)
            (one,) = await self.put(step.rate, seconds, self.request.seed + seed + look)
            doubted = self.doubt([one], step.rate)
            last = look == ramp.LOOKS or time.monotonic() + seconds > end
            if doubted is None or (last and not looks):
                looks.append(one)
                whole = summed(joined(looks, seconds), step.rate, seconds * len(looks), self.request.time_limit_s)
                found = tried(step, whole, self.request.gates, doubted)
            await asyncio.sleep(_PAUSE_S)
            if last or (looks and found.verdict != "inconclusive"):
                break
        return found

    def _caller(self, count: int, seed: int, servers: int) -> HttpCaller:
        return HttpCaller(
            self.client, self.targets, self.payload.messages, self.books,
            arrivals.samples(count, len(self.payload.messages), seed), arrivals.servers(count, servers, seed),
        )  # fmt: skip


def step_seconds(step: NextStep, request: LoadRequest) -> float:
    """Return how long a rate is tried: as long, at least, as the percentiles take that are limited."""
    shares = [statistics.PERCENTILES[PERCENTILES[gate.metric]] for gate in request.gates if gate.metric in PERCENTILES]
    needed = statistics.samples_for_percentile(max(shares, default=0.5))
    return max(_CONFIRM_S if step.confirms else _STEP_S, math.ceil(_ROOM * needed / step.rate))


def tried(step: NextStep, figures: LoadFigures, gates: Sequence[Gate], doubt: tuple[str, str] | None) -> RampStep:
    """Return what a rate came to, by the limits on latency and errors."""
    verdicts = judged(of_service(gates), LoadEvidence(figures, doubt=doubt))
    limited = dict.fromkeys(PERCENTILES[gate.metric] for gate in gates if gate.metric in PERCENTILES)
    return RampStep(
        rate=step.rate, seconds=figures.seconds, verdict=overall(verdicts), confirms=step.confirms,
        error_rate=figures.error_rate, latency_ms={name: getattr(figures.latency_ms, name) for name in limited},
        doubt=None if doubt is None else doubt[0],
    )  # fmt: skip


def served(target: InferTarget, digest: str | None) -> ServerRecord:
    """Return who was asked."""
    return ServerRecord(url=target.base, model=target.model, version=target.version, digest=digest)
