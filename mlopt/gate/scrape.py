"""Gates on a server that is in service, from one scrape of its metrics: pure.

A scrape says in which bucket each request's time fell, so a percentile is known to lie between two bounds: those of the
buckets that hold the ends of its interval by rank (Wilson's, of the share). Errors are answers of 5xx, with Wilson's
interval. Counters run from the server's start: with an ``earlier`` scrape, what lies between the two is judged.

Each model is read by itself: a good one that is asked often would hide a bad one that is asked rarely.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mlopt.core.errors import GateError
from mlopt.core.foreign_text import plain
from mlopt.formats.model import count_of
from mlopt.gate.evidence import Evidence
from mlopt.gate.exposition import MetricSample, samples
from mlopt.gate.limits import Gate
from mlopt.gate.message import counted, message
from mlopt.gate.ruling import rule
from mlopt.gate.vocabulary import SERVING
from mlopt.measure.intervals import proportion_interval
from mlopt.results.report import GateVerdict
from mlopt.results.section import Interval, Verdict

_SECONDS = "mlopt_request_seconds_bucket"
_REQUESTS = "mlopt_requests_total"
_PERCENTILES = {"serving.p50_ms": 0.5, "serving.p95_ms": 0.95, "serving.p99_ms": 0.99}
_ERRORS = "serving.error_rate"
ANSWERED = (*_PERCENTILES, _ERRORS)
"""The metrics that a scrape answers."""
_LONGEST = 100
_WAIT = "scrape again when more requests were answered"


@dataclass(frozen=True)
class Served:
    """What a server did with one model, all its versions together."""

    below: Mapping[float, float]
    """By upper bound, in seconds: how many requests took at most so long."""
    answers: int
    errors: int


@dataclass
class _Counters:
    """Of one model: how many requests took at most so long, and how many answers had a code."""

    below: Counter[float] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)


def served(text: str, where: str, *, models: Collection[str] = (), earlier: str | None = None) -> dict[str, Served]:
    """Read a scrape: what the server did by the model's name, which is empty where it gives none.

    Only those ``models``, if any are named. Raises ``DataError``, or ``GateError`` without any request, for a model
    that is not there, or if a counter is less than in the ``earlier`` scrape: the server began anew.
    """
    now = _counts(samples(text, where))
    before = {} if earlier is None else _counts(samples(earlier, f"{where}, earlier"))
    known = sorted({*now, *before})
    if not known:
        raise _without_requests(where)
    for model in models:
        if model not in known:
            raise GateError("the scrape says nothing of this model", where=where, got=f"--model {model}",
                            expected=_listed(known) or "no --model: it names none",
                            fix="name one that was asked, or scrape after its first request")  # fmt: skip
    return {
        model: _between(before.get(model, _Counters()), now.get(model, _Counters()), _place(where, model))
        for model in known
        if not models or model in models
    }


def _place(where: str, model: str) -> str:
    return f"{where}, model {plain(model[:_LONGEST])}" if model else where


def _listed(models: Iterable[str]) -> str:
    return plain(count_of([model[:_LONGEST] for model in models if model]))


def _between(before: _Counters, now: _Counters, where: str) -> Served:
    now.below.subtract(before.below)
    now.codes.subtract(before.codes)
    if min((*now.below.values(), *now.codes.values()), default=0) < 0:
        raise GateError("the server began anew between the two scrapes", where=where, fix="scrape twice again")
    if not now.below or not now.codes:
        raise _without_requests(where)
    answers = sum(now.codes.values())
    errors = sum(count for code, count in now.codes.items() if code.startswith("5"))
    return Served({bound: now.below[bound] for bound in sorted(now.below)}, answers, errors)


def _without_requests(where: str) -> GateError:
    return GateError("the scrape says nothing of requests", where=where, got=f"no {_REQUESTS} or {_SECONDS}",
                     expected="the /metrics of mlopt serve, after its first request")  # fmt: skip


def judge_scrape(gates: Sequence[Gate], found: Served) -> tuple[GateVerdict, ...]:
    """Judge the gates; raises ``GateError`` for one that a scrape does not answer, or if there are none."""
    if not gates:
        raise GateError("there are no gates to judge", fix=f"such as --gate '{ANSWERED[2]} <= 100'")
    for gate in gates:
        if gate.metric not in ANSWERED or gate.vs is not None or gate.hardware is not None:
            raise GateError(f"a scrape does not answer {gate.metric} {gate.limit}", expected=", ".join(ANSWERED),
                            fix=_elsewhere(gate))  # fmt: skip
    return tuple(_verdict(gate, _evidence(gate, found), _evidence(gate.model_copy(update={"confidence": 0.95}), found))
                 for gate in gates)  # fmt: skip


def _elsewhere(gate: Gate) -> str:
    if gate.metric.startswith(SERVING):
        return "mlopt loadtest measures it"
    return "judge a report or an artifact"


def _counts(found: Iterable[MetricSample]) -> dict[str, _Counters]:
    by_model: defaultdict[str, _Counters] = defaultdict(_Counters)
    for one in found:
        if one.name not in (_SECONDS, _REQUESTS):
            continue
        if not 0 <= one.value <= 2**53 or one.value % 1:
            raise GateError("a counter of the scrape is no whole number", where=one.name, got=f"{one.value:g}")
        counters = by_model[one.labels.get("model", "")]
        if one.name == _SECONDS:
            counters.below[_bound(one.labels.get("le", ""))] += int(one.value)
        else:
            counters.codes[one.labels.get("code", "")] += int(one.value)
    return dict(by_model)


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise GateError("a bucket of the scrape has no bound", where=_SECONDS, got=repr(text[:40])) from error


def _evidence(gate: Gate, found: Served) -> Evidence:
    alpha = 1 - gate.confidence
    if gate.metric == _ERRORS:
        if not found.answers:
            return Evidence(None, n=0, missing="no request was answered", remedy=_WAIT)
        interval = proportion_interval(found.errors, found.answers, alpha)
        return Evidence(found.errors / found.answers, interval, found.answers, remedy=_WAIT)
    return _percentile(gate, _PERCENTILES[gate.metric], found, alpha)


def _percentile(gate: Gate, share: float, found: Served, alpha: float) -> Evidence:
    """Return between which bounds a percentile lies; beyond the last bucket it has no upper one."""
    n = int(max(found.below.values(), default=0))
    if n * min(share, 1 - share) < 1:
        return Evidence(None, n=n, missing=f"{n} requests have no {share:.0%} percentile", remedy=_WAIT)
    low_share, high_share = proportion_interval(round(share * n), n, alpha)
    low, high = _bucket(found.below, low_share * n)[0], _bucket(found.below, high_share * n)[1]
    middle = _bucket(found.below, share * n)
    if not math.isfinite(high):
        if gate.max is not None and 1e3 * low > gate.max:
            return Evidence(1e3 * low, (1e3 * low, 1e3 * low), n, of="at least: it lies beyond the last bucket")
        why = f"it may lie beyond the last bucket, of {low:g} s and more"
        return Evidence(None, n=n, missing=why, remedy="have the server count in larger buckets")
    return Evidence(1e3 * (middle[0] + middle[1]) / 2, (1e3 * low, 1e3 * high), n, of="the middle of its bucket",
                    remedy=_WAIT)  # fmt: skip


def _bucket(below: Mapping[float, float], rank: float) -> Interval:
    """Return the bounds of the bucket that holds a rank."""
    lower = 0.0
    for bound, count in below.items():
        if count >= rank:
            return lower, bound
        lower = bound
    return lower, math.inf


def _verdict(gate: Gate, evidence: Evidence, standard: Evidence) -> GateVerdict:
    found: Verdict = rule(gate, evidence)
    text, verdict = message(gate, evidence, found, None), found
    if found == "inconclusive" and gate.on_inconclusive:
        verdict = "pass" if gate.on_inconclusive == "warn" else gate.on_inconclusive
        text += counted(gate)
    return GateVerdict(
        metric=gate.metric, limit=gate.limit, value=evidence.value, ci95=standard.interval, n=evidence.n,
        verdict=verdict, message=text, found=found, confidence=gate.confidence, interval=evidence.interval,
        on_inconclusive=gate.on_inconclusive,
    )  # fmt: skip
