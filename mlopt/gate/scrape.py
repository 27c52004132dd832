"""Gates on a server that is in service, from one scrape of its metrics: pure.

A scrape says in which bucket each request's time fell, so a percentile is known to lie between two bounds: those of the
buckets that hold the ends of its interval by rank (Wilson's, of the share). Errors are answers of 5xx, with Wilson's
interval. Counters run from the server's start: with an ``earlier`` scrape, what lies between the two is judged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlopt.core.errors import GateError
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
_WAIT = "scrape again when more requests were answered"


@dataclass(frozen=True)
class Served:
    """What a server did, all its models and versions together or those that were asked for."""

    below: Mapping[float, float]
    """By upper bound, in seconds: how many requests took at most so long."""
    answers: int
    errors: int


def served(text: str, where: str, *, labels: Mapping[str, str] | None = None, earlier: str | None = None) -> Served:
    """Read a scrape; only what has all of ``labels``. Raises ``DataError``, or ``GateError`` without any request.

    Raises ``GateError``, too, if a counter is less than in the ``earlier`` scrape: the server began anew.
    """
    wanted = labels or {}
    below, codes = _counts(samples(text, where), wanted)
    if earlier is not None:
        below_then, codes_then = _counts(samples(earlier, f"{where}, earlier"), wanted)
        below.subtract(below_then)
        codes.subtract(codes_then)
        if min((*below.values(), *codes.values()), default=0) < 0:
            raise GateError("the server began anew between the two scrapes", where=where, fix="scrape twice again")
    if not below or not codes:
        raise GateError("the scrape says nothing of requests", where=where, got=f"no {_REQUESTS} or {_SECONDS}",
                        expected="the /metrics of mlopt serve, after its first request")  # fmt: skip
    answers, errors = sum(codes.values()), sum(codes[code] for code in codes if code.startswith("5"))
    return Served({bound: below[bound] for bound in sorted(below)}, answers, errors)


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


def _counts(found: Iterable[MetricSample], labels: Mapping[str, str]) -> tuple[Counter[float], Counter[str]]:
    below, codes = Counter[float](), Counter[str]()
    for one in found:
        if one.name not in (_SECONDS, _REQUESTS) or any(one.labels.get(key) != want for key, want in labels.items()):
            continue
        if not 0 <= one.value <= 2**53 or one.value % 1:
            raise GateError("a counter of the scrape is no whole number", where=one.name, got=f"{one.value:g}")
        if one.name == _SECONDS:
            below[_bound(one.labels.get("le", ""))] += int(one.value)
        else:
            codes[one.labels.get("code", "")] += int(one.value)
    return below, codes


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
