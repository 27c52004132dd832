"""The limits of a service, held against what a load test found: the same three-valued rule as everywhere. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlopt.gate.evidence import Evidence
from mlopt.gate.judge import overall
from mlopt.gate.limits import Gate
from mlopt.gate.message import message
from mlopt.gate.ruling import rule
from mlopt.loadtest.slo import ERROR_RATE, PERCENTILES, RPS
from mlopt.loadtest.volley import DIGEST, WRONG
from mlopt.results.report import GateVerdict
from mlopt.results.section import Interval, Verdict
from mlopt.results.serving import LoadFigures, RampRecord, ServedComparison

_UNIT = "requests"


@dataclass(frozen=True)
class LoadEvidence:
    """What one run found."""

    figures: LoadFigures
    ramp: RampRecord | None = None
    doubt: tuple[str, str] | None = None
    """Why the load was not what was asked for, and what to do about it."""


def judged(gates: Sequence[Gate], found: LoadEvidence) -> tuple[GateVerdict, ...]:
    """Return a verdict for each gate; one on figures that are in doubt is inconclusive, and says why."""
    return tuple(_judged(gate, _evidence(gate, found)) for gate in gates)


def _judged(gate: Gate, evidence: Evidence) -> GateVerdict:
    verdict: Verdict = "inconclusive" if evidence.doubt else rule(gate, evidence)
    return GateVerdict(
        metric=gate.metric, limit=gate.limit, value=evidence.value, ci95=evidence.interval, n=evidence.n,
        verdict=verdict, message=message(gate, evidence, verdict, None), found=verdict, interval=evidence.interval,
    )  # fmt: skip


def _evidence(gate: Gate, found: LoadEvidence) -> Evidence:
    if gate.metric == RPS:
        return _highest(gate, found.ramp)
    evidence = _of_figures(gate, found.figures) if gate.metric in (*PERCENTILES, ERROR_RATE) else _used(gate, found)
    if found.doubt is None or evidence.value is None:
        return evidence
    return replace(evidence, doubt=found.doubt[0], remedy=found.doubt[1])


def _of_figures(gate: Gate, figures: LoadFigures) -> Evidence:
    if gate.metric == ERROR_RATE:
        return Evidence(figures.error_rate, figures.error_rate_ci95, figures.requests, _UNIT)
    name, latency = PERCENTILES[gate.metric], figures.latency_ms
    value: float | None = getattr(latency, name)
    if value is None:
        return Evidence(None, n=latency.n, unit=_UNIT, missing=latency.reasons[name])
    return Evidence(value, latency.ci95[name], latency.n, _UNIT)


def _highest(gate: Gate, ramp: RampRecord | None) -> Evidence:
    """Read the highest rate: it lies between the one that was confirmed and the one that did not hold."""
    if ramp is None:
        return Evidence(None, missing="no rates were tried", remedy="--ramp")
    kept, broken = ramp.kept or 0.0, ramp.broken
    if broken is None:
        if gate.min is not None and gate.min <= kept:
            return Evidence(kept, (kept, kept))
        why = f"{kept:.4g} requests/s were kept, and no rate was shown to break the limits"
        return Evidence(None, missing=why, remedy="a higher --max-rate, or a quieter machine")
    return Evidence(kept, (kept, broken))


def _used(gate: Gate, found: LoadEvidence) -> Evidence:
    between = utilization(found.figures.rate, found.ramp)
    if between is not None:
        return Evidence(between[1], between)
    ramp = found.ramp
    if ramp is not None and ramp.kept is not None and gate.max is not None:
        most = found.figures.rate / ramp.kept
        if most <= gate.max:  # the highest rate is at least what was kept, so no more than this is in use
            return Evidence(most, (0.0, most))
    return Evidence(None, missing="the highest rate that keeps the limits is not known", remedy="a longer --ramp")


def utilization(rate: float, ramp: RampRecord | None) -> Interval | None:
    """Return between what shares of the highest rate that keeps the limits ``rate`` lies; None if that is not known.

    The second is the share of the rate that was confirmed, and the one that is told.
    """
    if ramp is None or ramp.kept is None or ramp.broken is None:
        return None
    return rate / ramp.broken, rate / ramp.kept


def verdict(
    gates: Sequence[GateVerdict], figures: LoadFigures, comparison: ServedComparison | None, doubt: str | None
) -> tuple[Verdict | None, tuple[str, ...]]:
    """Return what the run comes to, and what that hangs on beside the gates; None where nothing was asked.

    A wrong answer, or one of another artifact, fails whatever the limits are; so does a server that is slower than the
    one that it is compared with.
    """
    wrong = [f"{figures.errors[kind]:,} {text}" for kind, text in _NEVER.items() if kind in figures.errors]
    slower = [
        f"{each.percentile} is {each.difference_ms:.3g} ms above the other server's"
        for each in (comparison.differences if comparison is not None and doubt is None else ())
        if each.found == "slower"
    ]
    if wrong or slower:
        return "fail", (*wrong, *slower)
    if doubt is not None:
        return "inconclusive", (doubt,)
    return (overall(gates) if gates else None), ()


_NEVER = {WRONG: "answers were wrong", DIGEST: "answers were of another artifact"}
