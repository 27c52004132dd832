"""A run that is to take less time: what of measuring and searching ``--quick`` and ``--budget`` make shorter.

Nothing that is shipped gets worse by it on purpose: training and calibration are as the recipe says, gates are as
strict, and the first look of each comparison is always completed, since fewer samples support no verdict. Intervals are
wider, and searches find less.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from mlopt.recipe.schema import Measure, Recipe, Step
from mlopt.results.report import Effort
from mlopt.run.outcomes import Outcome

_QUICK = Measure(seconds=1.0, rounds=7, max_time=20.0)
_QUICK_SEARCH = 30.0
_OF_SEARCHES, _OF_MEASURING = 0.5, 0.3
"""Shares of a time limit."""
_CANDIDATES = 5
"""That a run measures, or a few more."""
_LEAST_SECONDS = 0.2
SPENT = "left out: the time that --budget allows was spent"


@dataclass(frozen=True)
class Haste:
    """What a run was asked to take, since when."""

    quick: bool = False
    time_limit: float | None = None
    """Seconds."""
    clock: Callable[[], float] = time.monotonic
    begun: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Return the seconds that searches, retries and measuring may still take; never below 0."""
        return float("inf") if self.time_limit is None else max(0.0, self.begun + self.time_limit - self.clock())

    def spent(self) -> str | None:
        """Say why what need not be done is left out, if so."""
        return SPENT if self.left() <= 0 else None


def effort_of(haste: Haste, shortened: Sequence[str], outcomes: Sequence[Outcome]) -> Effort | None:
    """Return what the report says of a run in haste: what was made shorter, and which steps were left out."""
    if not haste.quick and haste.time_limit is None:
        return None
    left_out = (f"{each.step.name}: {each.reason}" for each in outcomes if each.reason == SPENT)
    return Effort(quick=haste.quick, time_limit_s=haste.time_limit, shortened=(*shortened, *left_out))


def hastened(recipe: Recipe, *, quick: bool, time_limit: float | None) -> tuple[Recipe, tuple[str, ...]]:
    """Return the recipe as it is run, and what in it was made shorter, in words. Nothing is ever made longer."""
    measure, search = recipe.measure, float("inf")
    if quick:
        measure, search = _least(measure, _QUICK), _QUICK_SEARCH
    if time_limit is not None:
        measure = _least(measure, _within(measure, _OF_MEASURING * time_limit))
        searching = sum(_seconds(step) is not None for step in recipe.passes)
        search = min(search, max(1.0, _OF_SEARCHES * time_limit / max(1, searching)))
    steps = tuple(step.model_copy(update={"config": step.config.within(search)}) for step in recipe.passes)
    after = recipe.model_copy(update={"measure": measure, "passes": steps})
    return after, tuple(_changes(recipe, after))


def told_of(effort: Effort | None) -> tuple[str, ...]:
    """Say in a sentence that a run was in haste, and what came of it; nothing of a whole run."""
    if effort is None:
        return ()
    asked = [*(["--quick"] if effort.quick else [])]
    asked += [] if effort.time_limit_s is None else [f"--budget {effort.time_limit_s:g}s"]
    less = "; ".join(effort.shortened) or "nothing had to be made shorter for it"
    return (f"this run was to take less time ({', '.join(asked)}): searches find less, intervals are wider; {less}",)


def _within(measure: Measure, seconds: float) -> Measure:
    """Return measuring that comes to its first look well within so many seconds."""
    each = max(_LEAST_SECONDS, seconds / (2 * _CANDIDATES))
    return measure.model_copy(update={"seconds": each, "max_time": max(1.0, seconds)})


def _least(one: Measure, other: Measure) -> Measure:
    keys = ("seconds", "rounds", "max_time")
    return one.model_copy(update={key: min(getattr(one, key), getattr(other, key)) for key in keys})


def _changes(before: Recipe, after: Recipe) -> Iterator[str]:
    for key in ("seconds", "rounds", "max_time"):
        was, now = getattr(before.measure, key), getattr(after.measure, key)
        if was != now:
            yield f"measure.{key}: {now:g} instead of {was:g}"
    for old, new in zip(before.passes, after.passes, strict=True):
        if old != new:
            yield f"passes.{old.name}.seconds: {_seconds(new):g} instead of {_seconds(old):g}"


def _seconds(step: Step) -> float | None:
    """Return how long the search of a step may take; None if it has none."""
    limit: float | None = getattr(step.config, "seconds", None)
    return limit
