"""The gates as pictures: for each its limit, the interval that was judged and the value, as shares of a row's width."""

from __future__ import annotations

from dataclasses import dataclass

from mlopt.report import facts, trust
from mlopt.report.trust import Mark
from mlopt.results.report import GateVerdict, Report

_EDGE = 0.1
"""Room that is left beside the outermost mark."""


@dataclass(frozen=True)
class GateRow:
    """One gate; shares are None where there is no limit or no value to draw."""

    metric: str
    limit: str
    mark: Mark
    value: str
    interval: str
    n: str
    message: str
    allowed: tuple[float, float] | None = None
    """The side of the limit that passes."""
    bound: float | None = None
    span: tuple[float, float] | None = None
    dot: float | None = None


def rows(report: Report) -> tuple[GateRow, ...]:
    """Return the gates in the order of the report."""
    return tuple(map(_row, report.gates))


def _row(gate: GateVerdict) -> GateRow:
    interval, confidence = trust.judged(gate)
    place = _placed(gate)
    allowed, bound, span, dot = place if place is not None else (None, None, None, None)
    return GateRow(
        metric=gate.metric,
        limit=gate.limit,
        mark=trust.mark(gate),
        value="" if gate.value is None else facts.exact(gate.value),
        interval=f"{interval} ({confidence})" if interval else "",
        n="" if gate.n is None else f"n = {gate.n:,}",
        message=gate.message,
        allowed=allowed,
        bound=bound,
        span=span,
        dot=dot,
    )


def _placed(gate: GateVerdict) -> tuple[tuple[float, float], float, tuple[float, float], float] | None:
    """Return allowed side, limit, interval and value in the gate's own range, with room on both sides."""
    found = trust.limit(gate)
    if found is None or gate.value is None:
        return None
    side, bound = found
    low, high = gate.interval or gate.ci95 or (gate.value, gate.value)
    least, most = min(low, gate.value, bound), max(high, gate.value, bound)
    scale = (most - least) or abs(most) or 1.0

    def share(value: float) -> float:
        return _EDGE + (1 - 2 * _EDGE) * (value - least) / scale

    allowed = (0.0, share(bound)) if side == "<=" else (share(bound), 1.0)
    return allowed, share(bound), (share(low), share(high)), share(gate.value)
