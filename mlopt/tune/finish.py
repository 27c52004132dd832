"""What a study ships: its best trials beside what the recipe comes to by itself, measured once more and for longer.

The best of many trials looks better than it is, since of many that are alike the luckiest is the best. So nothing that
a trial showed counts here: the finalists race the recipe's own result, in new processes, and the intervals hold for all
of them together. What is not faster by more than the noise of that race is no reason to leave the recipe as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from mlopt.core.errors import MeasureError
from mlopt.core.target import Objective
from mlopt.measure import statistics
from mlopt.measure.candidate import Run
from mlopt.measure.schedule import Schedule
from mlopt.recipe.schema import Measure
from mlopt.results.roles import BASELINE, CONTROL
from mlopt.results.section import Interval
from mlopt.results.study import TrialRecord
from mlopt.runtimes.base import Deployable

FINALISTS = 3
_OWN = "the recipe's own"
_ROUNDS, _LEAST = 10, 60


@dataclass(frozen=True)
class Final:
    """What is shipped."""

    winner: TrialRecord | None
    """The trial; None: what the recipe comes to by itself."""
    speedup: float | None = None
    """Of the winner against the recipe's own result, in the last race; of the best finalist if none won."""
    ci95: Interval | None = None


@dataclass(frozen=True)
class LastRace:
    """How models are measured at the end."""

    run: Callable[[Mapping[str, Deployable], Schedule], Run]
    """Beside the baseline and a copy of it (``RecipeLaboratory.raced``)."""
    open: Callable[[Mapping[str, JsonValue], Mapping[str, JsonValue]], Deployable]
    """What a point came to, with the options of its session (``RecipeLaboratory.deployable``)."""
    measure: Measure
    """How long the recipe measures."""


def decided(race: LastRace, own: Deployable, ranked: Sequence[TrialRecord], objective: Objective) -> Final:
    """Race the best trials against what the recipe came to, and return what is to be shipped."""
    finalists = _different(race, own, ranked)
    if objective is Objective.SIZE:
        smaller = (each for each, model in finalists.values() if model.model.size_bytes < own.model.size_bytes)
        return Final(next(smaller, None))
    if not finalists:
        return Final(None)
    measure = race.measure
    schedule = Schedule(measure.seconds, max(_ROUNDS, measure.rounds), measure.max_time, looks=1, least=_LEAST)
    named = {_OWN: own, **{name: model for name, (_, model) in finalists.items()}}
    try:
        run = race.run(named, schedule)
    except MeasureError:  # the baseline died: then there is nothing to say of anything
        return Final(None)
    if _OWN not in run.measured:
        return Final(None)
    noise = statistics.noise_floor(run.measured[BASELINE].blocks, run.measured[CONTROL].blocks)
    against, alpha = run.measured[_OWN].blocks, statistics.ALPHA / len(finalists)
    speeds = {
        name: statistics.speedup(against, run.measured[name].blocks, alpha)
        for name in finalists if name in run.measured
    }  # fmt: skip
    return _best(speeds, {name: record for name, (record, _) in finalists.items()}, noise)


def _best(speeds: Mapping[str, tuple[float, float, float]], records: Mapping[str, TrialRecord], noise: float) -> Final:
    """Return the fastest, if it is faster than the recipe's own by more than two copies of one model differ."""
    if not speeds:
        return Final(None)
    name = max(speeds, key=lambda each: speeds[each][0])
    middle, low, high = speeds[name]
    won = low > 1 and middle > 1 + noise
    return Final(records[name] if won else None, middle, (low, high))


def _different(
    race: LastRace, own: Deployable, ranked: Sequence[TrialRecord]
) -> dict[str, tuple[TrialRecord, Deployable]]:
    """Return the best trials, by name, that are not the same model in the same session as another one or the own."""
    found: dict[str, tuple[TrialRecord, Deployable]] = {}
    seen = {own.identity}
    for record in ranked:
        if record.origin == "recipe" or len(found) == FINALISTS:
            continue
        one = race.open(record.params, record.options)
        if one.identity not in seen:
            seen.add(one.identity)
            found[f"trial {record.number}"] = record, one
    return found
