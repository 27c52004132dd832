"""What a run of a recipe measures: the comparison that its gates hang on, and what explains it (loads, operators)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlopt import report as reports
from mlopt.core.errors import MeasureError, Problem
from mlopt.gate.judge import needs_more
from mlopt.gate.limits import Gate
from mlopt.gate.vocabulary import METRICS
from mlopt.measure import compare, figures, operators, statistics
from mlopt.measure.candidate import Candidate, Measured, Run
from mlopt.measure.evaluate import Evaluator
from mlopt.measure.schedule import Notify, Schedule
from mlopt.measure.sweep import Load, sweep
from mlopt.recipe.gates import gates as gates_of
from mlopt.recipe.schema import Recipe
from mlopt.report.control import beyond_noise
from mlopt.results.figures import LayerPrecision, OperatorTime, SweepPoint
from mlopt.results.report import Report
from mlopt.results.roles import BASELINE, CONTROL, FINAL
from mlopt.run import report_builder
from mlopt.runtimes.base import Deployable

_ENDS, _COPIES = (BASELINE, FINAL), (BASELINE, CONTROL)
_TRIAL_SHARE, _TRIAL_SAMPLES, _TRIAL_LOOKS = 0.5, 20, 2
_LATE = "other batch sizes and operators were not measured: the time that --budget allows was spent"
_PROMISING = 1.05
"""A trial's gain that is looked at again if the machine was too noisy to tell."""


@dataclass(frozen=True)
class Experiment:
    """What one recipe measures its models by."""

    recipe: Recipe
    evaluator: Evaluator
    baselines: Mapping[str, Report]
    """The stored reports that gates compare with."""
    keep: Path
    """The folder for the samples of a run that cannot be judged."""
    left: Callable[[], float] = lambda: math.inf
    """The seconds that measuring may still take; what a verdict takes is measured all the same."""


@dataclass(frozen=True)
class Findings:
    """What was measured."""

    run: Run
    sweep: tuple[SweepPoint, ...]
    operators: Mapping[str, tuple[OperatorTime, ...]]
    layers: Mapping[str, tuple[LayerPrecision, ...]]
    notes: tuple[str, ...]


def explained(experiment: Experiment, run: Run, notify: Callable[[str, str, float | None], None]) -> Findings:
    """Measure what explains a comparison, of the baseline and the result: other loads, and operators.

    ``notify`` is called with the stage, the detail, and the share of the stage that is done.
    """
    ends = [run.measured[name].candidate for name in _ENDS]
    clients = experiment.recipe.target.clients
    late = experiment.left() <= 0
    sizes = () if late else experiment.recipe.measure.batch_sizes
    loads = [Load(batch_size=size, concurrency=clients) for size in sizes]
    points, gaps = sweep(ends, loads, experiment.evaluator.dataset, partial(notify, "batch sizes"))
    timed = ends if experiment.recipe.measure.operators and not late else []
    logs = experiment.evaluator.logs
    found = operators.profiles(timed, experiment.evaluator.dataset, logs, partial(notify, "operators"))
    return Findings(run, points, found.operators, found.layers, (*gaps, *found.notes, *([_LATE] if late else [])))


def compared(experiment: Experiment, candidates: Sequence[Candidate], notify: Notify) -> Run:
    """Measure the candidates against each other, with more looks for as long as a gate on speed is undecided.

    Raises ``MeasureError`` when a model that the verdict hangs on was lost.
    """
    recipe, measure = experiment.recipe, experiment.recipe.measure
    gates = [gate for gate in gates_of(recipe) if METRICS[gate.metric].of_speed]
    wanted = essential(gates, candidates)
    looks = statistics.LOOKS if any(gate.on_inconclusive not in {"warn", "pass"} for gate in gates) else 1

    def undecided(measured: Mapping[str, Measured]) -> Collection[str]:
        blocks = {name: each.blocks for name, each in measured.items()}
        report = _so_far(experiment, measured, looks)
        return needs_more(gates, report, samples=blocks, baselines=experiment.baselines)

    least = statistics.samples_for_percentile(0.95, statistics.ALPHA / looks)
    schedule = Schedule(
        measure.seconds, measure.rounds, min(measure.max_time, experiment.left()), looks=looks, least=least,
        seed=recipe.seed,
    )  # fmt: skip
    run = compare.compare(
        candidates, experiment.evaluator.dataset, schedule, copies=_COPIES, final=FINAL, needs=wanted,
        undecided=undecided, notify=notify,
    )  # fmt: skip
    _refuse_the_loss(run, wanted, experiment)
    return run


def trial_run(experiment: Experiment, notify: Notify, best: Deployable, model: Deployable) -> Report:
    """Measure an optional step's model against the best so far, and report it as a result against its baseline."""
    evaluator, target = experiment.evaluator, experiment.recipe.target
    pairs = ((BASELINE, best), (CONTROL, best), (FINAL, model))
    candidates = tuple(Candidate(name, each, target.batch_size, target.clients) for name, each in pairs)
    candidate_set = report_builder.CandidateSet(evaluator.source, best, model, {}, candidates)
    run = short(experiment, candidates, notify)
    return report_builder.report(
        experiment.recipe, candidate_set, (), run, evaluator, data={"evaluation": evaluator.dataset}
    )


def short(experiment: Experiment, candidates: Sequence[Candidate], notify: Notify) -> Run:
    """Measure a trial's models, half as long as in the final comparison.

    A gain that seems worth having, but that the noise of the machine may have made, is looked at once more. What is not
    plain by then is no gain worth a lossy step, and no harm worth dropping one.
    """
    measure, names = experiment.recipe.measure, {each.name for each in candidates}
    schedule = Schedule(
        _TRIAL_SHARE * measure.seconds, measure.rounds, min(measure.max_time, experiment.left()), looks=_TRIAL_LOOKS,
        least=_TRIAL_SAMPLES, seed=experiment.recipe.seed,
    )  # fmt: skip

    def undecided(measured: Mapping[str, Measured]) -> Collection[str]:
        speedup = _so_far(experiment, measured, _TRIAL_LOOKS).speedup
        return names if speedup.median > _PROMISING and beyond_noise(speedup) == 0 else ()

    run = compare.compare(
        candidates, experiment.evaluator.dataset, schedule, copies=_COPIES, needs=names, undecided=undecided,
        notify=notify, cold=False,
    )  # fmt: skip
    _refuse_the_loss(run, names, experiment)
    return run


def _so_far(experiment: Experiment, measured: Mapping[str, Measured], looks: int) -> Report:
    """Report what is known of latencies while it is measured, with so many looks planned."""
    dataset, hardware = experiment.evaluator.dataset, experiment.evaluator.hardware
    candidates = report_builder.described(measured, dataset, statistics.ALPHA / looks)
    sampling = figures.sampling_so_far(measured, report_builder.ROLES, looks)
    return report_builder.timings(experiment.recipe, hardware, candidates, measured, sampling)


def essential(gates: Sequence[Gate], candidates: Sequence[Candidate]) -> set[str]:
    """Return the candidates without which there is no verdict."""
    names = {each.name for each in candidates}
    return {*report_builder.ROLES.all} | {gate.vs for gate in gates if gate.vs in names}


def _refuse_the_loss(run: Run, wanted: Collection[str], experiment: Experiment) -> None:
    """Raise ``MeasureError`` if a wanted candidate was lost; the samples of the others are written down first."""
    lost = sorted(set(wanted) - set(run.measured))
    if not lost:
        return
    kept = experiment.keep / f"{experiment.recipe.name}-samples.json"
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        reports.write_samples(run.blocks, kept)
        told = f"the samples of the others are in {kept}"
    except OSError as error:
        told = f"the samples of the others could not be written to {kept}: {error.strerror}"
    raise MeasureError.of(
        Problem("the candidate could not be measured", where=name, got=run.lost[name],
                fix="; ".join(filter(None, (run.fixes.get(name), told)))) for name in lost
    )  # fmt: skip
