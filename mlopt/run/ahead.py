"""The minutes of a run to come: an estimate for each row of the outlook, and for what every run measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mlopt.core.errors import MloptError
from mlopt.data.dataset import Dataset
from mlopt.formats.model import ONNX, Model
from mlopt.measure.work import macs
from mlopt.recipe.schema import Step
from mlopt.run import ledger
from mlopt.run.estimate import Estimate, Guess, estimate
from mlopt.run.ledger import Spent, Workload
from mlopt.run.outcomes import Outcome
from mlopt.run.outlook import Outlook
from mlopt.run.planned import Planned

_SAMPLES_UNREAD = 1000
_MACS_PER_BYTE = 5.0
"""Of a model that cannot be counted yet: a convolution uses each weight more often, a table far less."""
_About = Callable[[str, float], Estimate]
"""From a phase, and a guess at its seconds, to the estimate."""


@dataclass(frozen=True)
class Known:
    """What of a run's size is known before it."""

    size: Workload
    exact: bool
    """Whether model and data are there to be counted; else ``size`` is a guess."""


def size_of(model: Model | None, data: Dataset | None, planned: Planned) -> Known:
    """Return how large the work is, as far as it is known before a run."""
    described = planned.loaded.recipe.data.evaluation
    samples = data.count if data is not None else (described.limit if described else None) or _SAMPLES_UNREAD
    counted = None
    if model is not None and model.kind == ONNX and data is not None:
        counted = macs(model, data, planned.loaded.recipe.target.batch_size)
    multiplications = float(counted) if counted is not None else _MACS_PER_BYTE * _bytes(model)
    return Known(Workload(multiplications, samples), counted is not None)


def _bytes(model: Model | None) -> int:
    try:
        return 0 if model is None else model.size_bytes
    except (OSError, MloptError):
        return 0


def with_times(rows: Sequence[Outlook], planned: Planned, known: Known, runs: Sequence[Spent]) -> list[Outlook]:
    """Return the rows with what each should take, and those of what every run measures and writes."""
    recipe, name = planned.loaded.recipe, planned.loaded.recipe.name
    guess = Guess(known.size, planned.options.threads, recipe.measure)
    steps = {step.name: step for step in recipe.passes}

    def about(phase: str, seconds: float) -> Estimate:
        return estimate(phase, name, known.size if known.exact else None, runs, seconds)

    timed = [_timed(row, guess, steps, planned, about) for row in rows]
    tried = sum(row.optional and not row.skipped for row in rows)
    return [*timed, *_always(planned, guess, tried, about)]


def _timed(row: Outlook, guess: Guess, steps: dict[str, Step], planned: Planned, about: _About) -> Outlook:
    if row.skipped or row.cached:
        return replace(row, seconds=0.0, basis="nothing to do")
    if row.name in steps:
        step = steps[row.name]
        found = about(f"pass {row.name}", guess.step(step, trains=planned.passes[row.name].trains(step.config)))
    elif row.name in {"calibration", "train"}:
        found = Estimate(0.0, "with the evaluation data")
    elif row.name in {"source", "evaluation"}:
        found = about("source" if row.name == "source" else "data", guess.reading())
    else:
        found = about(row.name, guess.comparison(5, 0.4))
    return replace(row, seconds=found.seconds, basis=found.basis)


def _always(planned: Planned, guess: Guess, tried: int, about: _About) -> Iterator[Outlook]:
    """Yield what no cache keeps: comparisons of speed, and the artifact."""
    measure, kept = planned.loaded.recipe.measure, len(planned.loaded.recipe.passes)
    more = f"measured in each run; up to {measure.max_time:g} s more where a gate is undecided"
    if tried:
        found = about("is it worth it?", tried * guess.trial())
        yield Outlook("trials", f"is each of {tried} optional step{'s' * (tried > 1)} worth it?", False,
                      "measured in each run", seconds=found.seconds, basis=found.basis)  # fmt: skip
    found = about("measure", guess.comparison(3 + math.ceil(kept / 2), measure.seconds))
    yield Outlook("measure", "the references, every kept step and the result, interleaved", False, more,
                  seconds=found.seconds, basis=found.basis)  # fmt: skip
    found = about("pack", guess.pages())
    yield Outlook("pack", "the report and the artifact", False, "written in each run",
                  seconds=found.seconds, basis=found.basis)  # fmt: skip


def remembered(planned: Planned) -> list[Spent]:
    """Return the runs that are comparable with the one that is planned."""
    return [run for run in ledger.read(planned.started.store.root) if run.quick == planned.haste.quick]


def remember(
    planned: Planned, model: Model, data: Dataset, outcomes: Sequence[Outcome], took: Mapping[str, float]
) -> None:
    """Keep what a run took, without the steps that came from the cache."""
    counted = macs(model, data, planned.loaded.recipe.target.batch_size)
    cached = {f"pass {each.step.name}" for each in outcomes if each.status == "cached"}
    seconds = {phase: spent for phase, spent in ledger.by_phase(took).items() if phase not in cached}
    spent = Spent(planned.loaded.recipe.name, Workload(float(counted or 0), data.count), seconds, planned.haste.quick)
    ledger.add(planned.started.store.root, spent)


def summary(rows: Sequence[Outlook]) -> str:
    """Say how long the run should take, and what dominates it."""
    timed = sorted((row for row in rows if row.seconds), key=lambda row: -(row.seconds or 0.0))
    whole = sum(row.seconds or 0.0 for row in timed)
    if not timed:
        return ""
    most = ", ".join(f"{row.title} ({(row.seconds or 0.0) / whole:.0%})" for row in timed[:3])
    guessed = sum(row.seconds or 0.0 for row in timed if row.basis.startswith("no earlier run"))
    honest = "" if guessed < 0.5 * whole else "; no earlier run: a guess from sizes and settings, which may be far off"
    return f"about {_minutes(whole)}, most of it {most}{honest}"


def _minutes(seconds: float) -> str:
    if seconds < 50:
        return f"{max(1, round(seconds / 5)) * 5} s"
    return f"{seconds / 60:.1f} min" if seconds < 570 else f"{round(seconds / 60)} min"
