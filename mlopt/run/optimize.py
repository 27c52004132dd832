"""The program: the stages of ``mlopt optimize``, as calls in ``execute``, each with what it is made from.

Only ``pack`` writes outside the cache; a run that ends early leaves the previous artifact as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mlopt.core import nursery
from mlopt.core.errors import MeasureError, RecipeError
from mlopt.core.hardware import detect
from mlopt.core.meanwhile import imported
from mlopt.core.voice import Say, unsaid
from mlopt.data.dataset import Dataset
from mlopt.formats.model import TORCH, Model
from mlopt.formats.table import check_shippable
from mlopt.gate.judge import judge as judge_gates
from mlopt.gate.judge import overall
from mlopt.gate.notices import sample_notice
from mlopt.measure.benchmarker import Benchmarker
from mlopt.measure.evaluate import Evaluator
from mlopt.measure.metric import load_metric, metric_problems
from mlopt.passes.table import table
from mlopt.recipe import gate_places
from mlopt.recipe.gates import check_answerable
from mlopt.recipe.gates import gates as gates_of
from mlopt.recipe.gates_file import load_baselines
from mlopt.recipe.sources import load_source
from mlopt.results.report import MadeBy, Report
from mlopt.run import (
    ahead,
    chain,
    choice,
    declared,
    experiment,
    forms,
    gathering,
    history,
    inputs,
    packaging,
    report_builder,
    selection,
    sketching,
    ways,
)
from mlopt.run.choice import Choice
from mlopt.run.consent import consent
from mlopt.run.haste import Haste, effort_of, hastened, told_of
from mlopt.run.outcomes import Way
from mlopt.run.packaging import Artifact
from mlopt.run.planned import Planned
from mlopt.run.probe import Liveness
from mlopt.run.quality import QualityGates
from mlopt.run.request import Request, told
from mlopt.run.rivals import Rivals
from mlopt.run.stages import Prepared
from mlopt.run.start import Started, silent, start
from mlopt.run.step import Job, begin, exported
from mlopt.run.timeline import Notify
from mlopt.run.trial import trial
from mlopt.runtimes.base import Deployable, RuntimeOptions
from mlopt.runtimes.table import deploy

_LATER = ("matplotlib.figure", "matplotlib.style", "matplotlib.ticker")
"""What the report's pictures take: imported while a worker reads the data, and not when all else is done."""


@dataclass(frozen=True)
class Measurements:
    """What was measured of every candidate."""

    choice: Choice
    candidate_set: report_builder.CandidateSet
    findings: experiment.Findings


def execute(request: Request, notify: Notify = silent, say: Say = unsaid) -> Artifact:
    """Run all stages and return the artifact; raises ``MloptError``.

    ``notify`` is told how far the run is, and ``say`` gets lines for whoever waits, such as what the recipe's Python
    prints.
    """
    with start(request, notify, say) as started:
        planned = plan(started)
        prepared = ready(planned)
        ways = transform(prepared)
        chosen = choose(prepared, ways)
        measured = measure(prepared, chosen)
        report = judge(prepared, measured)
        artifact = pack(prepared, measured, report)
        took = started.timeline.seconds
        ahead.remember(planned, measured.choice.baseline.model, prepared.evaluation, measured.choice.outcomes, took)
        return replace(artifact, took=took)


@contextmanager
def planned_for(request: Request) -> Iterator[Planned]:
    """Give the first stage alone, for those who want to look ahead."""
    with start(replace(request, sign=False), silent) as started:
        yield plan(started)


def plan(started: Started) -> Planned:
    """Load or make the recipe, and find everything that cannot work before any work is done."""
    request = started.request
    started.notify("plan", str(request.source), None)
    passes = table()
    loaded = load_source(request.source, request.data, passes=passes, overrides=request.overrides)
    asked, shortened = hastened(loaded.recipe, quick=request.quick, time_limit=request.time_limit)
    loaded, haste = replace(loaded, recipe=asked), Haste(request.quick, request.time_limit)
    recipe, hardware = loaded.recipe, detect()
    if chain.source_kind(recipe, passes) == TORCH:
        nursery.also("torch")  # that builds it, reads its data, runs it, exports it and holds the export against it
    problems = [
        *chain.check(recipe, passes, hardware),
        *declared.foreseen(loaded),
        *consent(loaded, code=request.allow_code, pickles=request.allow_pickle),
        *metric_problems(recipe.metric.name, recipe.metric.args, recipe.metric.output),
    ]
    if problems:
        raise RecipeError.of(loaded.located(problem) for problem in problems)
    output = request.output or request.folder / recipe.name
    signer = packaging.check_possible(output, request.signer, request.key, sign=request.sign, clobber=request.clobber)
    return Planned(
        started, loaded, passes, hardware,
        options=RuntimeOptions(threads=recipe.target.threads or hardware.cores, device=recipe.target.device),
        output=output, signer=signer, baselines=load_baselines(recipe.gates, loaded.base),
        notes=tuple(chain.advice(recipe, passes) + inputs.advice(recipe)), code=inputs.code_digests(loaded),
        haste=haste, shortened=shortened,
    )  # fmt: skip


def ready(planned: Planned) -> Prepared:
    """Read the data and build the source model; both come from the cache when nothing changed."""
    recipe, notify = planned.loaded.recipe, planned.started.notify
    built = gathering.source(planned)
    source = built.model
    deployable = deploy(source, planned.options)
    check_answerable(recipe, report_builder.source_name(source), planned.baselines)
    notify("data", "reading and checking", None)
    with imported(*_LATER):
        evaluation, fitted = gathering.data(planned, deployable)
    evaluator = _evaluator(planned, deployable, evaluation)
    notify("data", "running the source model on it", None)
    evaluator.scores(deployable)  # a model that does not run, or a metric that does not fit: before the long work
    said = (note for data in (evaluation, *fitted.values()) for note in data.notes)
    notices = (
        *built.said,
        *inputs.interface_notice(source),
        *dict.fromkeys((*said, *evaluator.notes)),
        *sample_notice(recipe.gates, evaluation.count, evaluator.metric),
    )
    for notice in notices:
        planned.started.say(notice)
    first = next(iter(chain.ways(source.kind, recipe, planned.passes)), evaluator.source.runtime)
    quality = QualityGates(recipe, evaluator, planned.baselines, first)
    job = _job(planned, source, evaluator, fitted)
    notes = (*planned.notes, *notices)
    return Prepared(planned, source, evaluation, fitted, evaluator, quality=quality, job=job, notes=notes,
                    source_notes=built.notes)  # fmt: skip


def transform(prepared: Prepared) -> tuple[Way, ...]:
    """Run the passes, once for each runtime that may run the result."""
    planned, notify = prepared.planned, prepared.planned.started.notify
    recipe, probe = planned.loaded.recipe, Liveness(prepared.evaluator, prepared.quality.choices)
    measured = partial(experiment.trial_run, _experiment(prepared), partial(notify, "is it worth it?"))
    keep = trial(recipe, planned.baselines, measured)

    def tell(step: str) -> None:
        notify(f"pass {step}", "", None)

    runtimes = chain.ways(prepared.source.kind, recipe, planned.passes)
    came = ways.run(
        runtimes, recipe.passes, prepared.source, prepared.job, trial=keep, quality=prepared.quality,
        died=probe.died, rival=Rivals(prepared.quality, probe).of, tell=tell,
    )  # fmt: skip
    return tuple(came)


def choose(prepared: Prepared, came: Sequence[Way]) -> Choice:
    """Find the fastest valid deployable among all that the passes left to choose from."""
    planned, first = prepared.planned, came[0]
    notes = tuple(f"the chain came to nothing in {way.runtime}: {way.lost}" for way in came if way.lost is not None)
    baseline = _baseline(prepared, came)
    every = forms.forms(came, unchanged=(prepared.source.digest, baseline.model.digest))
    dead = {way.runtime: f"not tried: {way.lost}" for way in came if way.dead}
    able = list(forms.entrants(
        every, [way.runtime for way in came],
        lambda one: (one,) if one.runtime in dead else prepared.quality.choices(one),
    ))  # fmt: skip
    if len(came) < 2 and len({each.deployable.options for each in able}) < 2:
        chosen = choice.of_way(first, baseline, notes)
    else:
        found = selection.Selection(
            able, baseline, prepared.evaluator, prepared.quality, dead=dead,
            max_time=min(planned.loaded.recipe.measure.max_time, planned.haste.left()),
            notify=partial(planned.started.notify, "choose"),
        ).run()  # fmt: skip
        chosen = choice.of_search(found, first, baseline, notes)
    prepared.quality.check(chosen.final)
    return chosen


def measure(prepared: Prepared, chosen: Choice) -> Measurements:
    """Measure the references, every kept step and the result in one interleaved run, and what explains them."""
    notify, source, recipe = prepared.planned.started.notify, prepared.evaluator.source, prepared.planned.loaded.recipe
    candidates = chosen.candidate_set(source, recipe).candidates
    nursery.done()
    try:
        run = experiment.compared(_experiment(prepared), candidates, partial(notify, "measure"))
    except MeasureError as error:
        return measure(prepared, choice.without(chosen, error))
    chosen, run = choice.settled(chosen, run)
    candidate_set = chosen.candidate_set(source, recipe)
    check_shippable(candidate_set.final.model)
    findings = experiment.explained(_experiment(prepared), run, notify)
    return Measurements(chosen, candidate_set, findings)


def judge(prepared: Prepared, measured: Measurements) -> Report:
    """Write the evidence down and hold it against the gates."""
    planned, findings, chosen = prepared.planned, measured.findings, measured.choice
    planned.started.notify("judge", "accuracy and gates", None)
    inputs.check_unchanged(planned.code, planned.loaded, prepared.source)
    recipe, effort = planned.loaded.recipe, effort_of(planned.haste, planned.shortened, chosen.outcomes)
    report = report_builder.report(
        recipe, measured.candidate_set, chosen.outcomes, findings.run, prepared.evaluator, data=prepared.data,
        notes=(*told_of(effort), *prepared.notes, *chosen.notes, *findings.notes, *choice.worth(chosen.tried)),
    ).model_copy(update={
        "sweep": findings.sweep, "operators": findings.operators, "layers": findings.layers,
        "tried": chosen.tried, "spent": dict(chosen.spent),
        "source_notes": dict(prepared.source_notes),
        "took": planned.started.timeline.seconds,
        "effort": effort,
        "made_by": MadeBy(command=planned.started.request.command, artifact=told(planned.output)),
    })  # fmt: skip
    verdicts = judge_gates(gates_of(recipe), report, samples=findings.run.blocks, baselines=planned.baselines)
    gates = gate_places.placed(verdicts, gate_places.of_recipe(planned.loaded))
    return report.model_copy(update={"gates": gates, "verdict": overall(verdicts)})


def pack(prepared: Prepared, measured: Measurements, report: Report) -> Artifact:
    """Write the artifact, and sign it if the gates passed."""
    planned, request = prepared.planned, prepared.planned.started.request
    planned.started.notify("pack", str(planned.output), None)
    sources, final = inputs.digests(planned.loaded, prepared.source, prepared.data), measured.candidate_set.final
    outcomes, trained = measured.choice.outcomes, planned.loaded.recipe.model.train is not None
    module = packaging.changed_module(outcomes, prepared.source, final.model, trained=trained)
    origin = packaging.origin(planned.loaded, sources, report, request.overrides, planned.started.begun)
    artifact = packaging.write(
        planned.output, report, final, loaded=planned.loaded,
        samples=measured.findings.run.blocks, origin=origin, signer=planned.signer, sign=request.sign,
        allow_ungated=request.allow_ungated, module=module if planned.loaded.recipe.model.keep_torch else None,
        clobber=request.clobber, sketches=sketching.sketched(final, prepared.evaluator),
    )  # fmt: skip
    made = history.record(report, artifact.path, artifact.version, signed=artifact.signed)
    said = (
        packaging.keep_recipe(planned.loaded, planned.output), history.kept(planned.started.store.root, made)
    )  # fmt: skip
    return replace(artifact, messages=(*artifact.messages, *filter(None, said)))


def _baseline(prepared: Prepared, came: Sequence[Way]) -> Deployable:
    """Return the source as it is when it is only exported, as it runs by default."""
    made = exported(begin(prepared.source, prepared.job), came[0].outcomes, prepared.job)
    return deploy(made.model, prepared.job.options)


def _evaluator(planned: Planned, source: Deployable, evaluation: Dataset) -> Evaluator:
    recipe, metric = planned.loaded.recipe, planned.loaded.recipe.metric
    return Evaluator(
        store=planned.started.store, dataset=evaluation, source=source,
        source_name=report_builder.source_name(source.model),
        metric=load_metric(metric.name, planned.loaded.base, metric.args, metric.output), output=metric.output,
        batch_size=recipe.target.batch_size, hardware=planned.hardware, logs=planned.started.scratch,
        name=recipe.name,
    )  # fmt: skip


def _job(planned: Planned, source: Model, evaluator: Evaluator, fitted: Mapping[str, Dataset]) -> Job:
    recipe, evaluation = planned.loaded.recipe, evaluator.dataset
    calibration, train = fitted.get("calibration"), fitted.get("train")
    return Job(
        name=recipe.name, passes=planned.passes, target=recipe.target, objective=recipe.objective,
        hardware=planned.hardware, inputs=source.inputs, outputs=recipe.model.outputs,
        calibration_digest=calibration.digest if calibration else None, train_digest=train.digest if train else None,
        samples_digest=evaluation.digest, budget=recipe.budget(planned.loaded.base), store=planned.started.store,
        options=planned.options, samples=evaluation, calibration=calibration, train=train,
        logs=planned.started.scratch, repro=Path("repro"), changed=evaluator.changed, measuring=Benchmarker,
        source=source, source_digest=source.digest, base=planned.loaded.base, spent=planned.haste.spent,
    )  # fmt: skip


def _experiment(prepared: Prepared) -> experiment.Experiment:
    planned = prepared.planned
    recipe, job = planned.loaded.recipe, prepared.job
    return experiment.Experiment(recipe, prepared.evaluator, planned.baselines, job.repro, planned.haste.left)
