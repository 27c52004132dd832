"""The search for the highest rate that keeps the limits: which rate is tried next. Pure.

Up by half as much again while the limits hold, down by half while they do not, then the middle (in proportion) between
the highest rate that kept them and the lowest above it that did not, until the two are within a tenth. The rate found
so is tried for longer: a short look that went well by chance does not count. A rate at which the limits were not shown
to hold, by the end of its looks, counts as one that does not keep them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlopt.results.section import Verdict
from mlopt.results.serving import RampRecord, RampStep

_UP, _DOWN = 1.5, 2.0
_CLOSE = 1.1
_LEAST_SHARE = 1 / 64
"""Of the first rate: below it nothing is tried."""
_MOST_STEPS = 40
_TOO_LATE = "the load was not put on as it should be, and no rate had been kept before"
LOOKS = 3
"""So often a rate is tried that is not decided."""


@dataclass(frozen=True)
class NextStep:
    """What to try."""

    rate: float
    confirms: bool = False


def next_step(steps: Sequence[RampStep], first: float, most: float) -> NextStep | str:
    """Return what to try after ``steps``, or in words why the search is over.

    ``first`` is the rate to begin with, ``most`` the highest one that may be tried.
    """
    if len(steps) >= _MOST_STEPS:
        return f"{_MOST_STEPS} rates were tried"
    kept, broken = bounds(steps)
    if kept is None:
        late = bool(steps) and steps[-1].doubt is not None
        return _TOO_LATE if late else _lower(first, broken)
    if broken is None and kept < most:
        return NextStep(min(kept * _UP, most))
    if broken is not None and broken / kept > _CLOSE:
        return NextStep(math.sqrt(kept * broken))
    if not any(step.confirms and step.rate == kept for step in steps):
        return NextStep(kept, confirms=True)
    return "the highest rate that may be tried was kept" if broken is None else "found, and confirmed"


def _lower(first: float, broken: float | None) -> NextStep | str:
    if broken is None:
        return NextStep(first)
    if broken / _DOWN < first * _LEAST_SHARE:
        return f"the limits were not kept at {broken:.4g} requests/s either"
    return NextStep(broken / _DOWN)


def bounds(steps: Sequence[RampStep]) -> tuple[float | None, float | None]:
    """Return the highest rate that kept the limits below the lowest that did not, and that one; None if there is none.

    What a rate showed last counts.
    """
    last: dict[float, Verdict] = {step.rate: step.verdict for step in steps}
    broken = min((rate for rate, verdict in last.items() if verdict != "pass"), default=None)
    passed = (rate for rate, verdict in last.items() if verdict == "pass" and (broken is None or rate < broken))
    return max(passed, default=None), broken


def record(steps: Sequence[RampStep], ended: str) -> RampRecord:
    """Return the search; only a rate that was confirmed counts as kept, and only one that failed as broken."""
    kept, _ = bounds(steps)
    confirmed = any(step.confirms and step.verdict == "pass" and step.rate == kept for step in steps)
    last: dict[float, Verdict] = {step.rate: step.verdict for step in steps}
    failed = (rate for rate, verdict in last.items() if verdict == "fail")
    return RampRecord(
        steps=tuple(steps), kept=kept if confirmed else None, broken=min(failed, default=None), ended=ended
    )
