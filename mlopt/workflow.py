"""The program: the stages of ``mlopt optimize`` as one tuple. Each stage takes what the one before it returned.

What a stage returns also carries everything that came before, so any stage can be read on its own. Only ``pack`` writes
outside the cache; a run that ends early leaves the previous artifact as it was.
"""

from __future__ import annotations

import errno
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mlopt import campaign, chain, evidence, packing, pipeline, prepare
from mlopt.budget import budget_of
from mlopt.cache import Store, default_root, why_unusable
from mlopt.data.dataset import Dataset, check_disjoint
from mlopt.errors import OutputError, RecipeError
from mlopt.evaluate import Evaluator, load_metric, metric_problems
from mlopt.fitting import check_fed, check_finite
from mlopt.formats import check_shippable
from mlopt.gate import judge as judge_gates
from mlopt.gate import overall
from mlopt.gates_file import load_baselines
from mlopt.guard import guard
from mlopt.hardware import Hardware, detect
from mlopt.measure.accuracy import sample_notice
from mlopt.model import Model
from mlopt.packing import Artifact
from mlopt.passes import table
from mlopt.passes.base import Pass
from mlopt.recipe import Loaded, load_source
from mlopt.report.schema import MadeBy, Report
from mlopt.request import Request, told
from mlopt.runtimes import RuntimeOptions, deploy

_LOG = logging.getLogger(__name__)
Notify = Callable[[str, str, float | None], None]
"""Called with the stage at hand and, within it, the detail and the share that is done (0 to 1; None: not known)."""
S = TypeVar("S")


def _silent(_stage: str, _detail: str, _share: float | None) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Started:
    """A request with the folders and the voice of this run."""

    request: Request
    notify: Notify
    store: Store
    scratch: Path
    begun: str
    """When this run began: UTC, ISO 8601."""


@dataclass(frozen=True)
class Planned(Started):
    """A recipe that can work on this machine."""

    loaded: Loaded
    passes: Mapping[str, Pass[Any]]
    hardware: Hardware
    options: RuntimeOptions
    output: Path
    baselines: Mapping[str, Report]
    notes: tuple[str, ...]
    code: Mapping[str, str]
    """Digests of the Python that the user agreed to run."""


@dataclass(frozen=True)
class Prepared(Planned):
    """The source model and the data."""

    source: Model
    evaluation: Dataset
    calibration: Dataset | None
    evaluator: Evaluator
    job: pipeline.Job


@dataclass(frozen=True)
class Transformed(Prepared):
    """What each step did."""

    outcomes: tuple[pipeline.Outcome, ...]


@dataclass(frozen=True)
class Measured(Transformed):
    """What was measured of every candidate."""

    lineup: evidence.Lineup
    findings: campaign.Findings


@dataclass(frozen=True)
class Judged(Measured):
    """The report."""

    report: Report


def execute(request: Request, notify: Notify = _silent) -> Artifact:
    """Run all stages and return the artifact; raises ``MloptError``."""
    with _started(request, notify) as started:
        state: Any = started
        for stage in STAGES:
            state = stage(state)
    artifact: Artifact = state
    return artifact


@contextmanager
def planned_for(request: Request) -> Iterator[Planned]:
    """Give the first stage alone, for those who want to look ahead."""
    with _started(replace(request, sign=False), _silent) as started:
        yield plan(started)


@contextmanager
def _started(request: Request, notify: Notify) -> Iterator[Started]:
    with _told_by_the_system(), tempfile.TemporaryDirectory(prefix="mlopt-run-") as folder:
        store = Store(_cache(request) or Path(folder) / "cache")
        with store.in_use():
            yield Started(request, notify, store, Path(folder), evidence.now())


def _cache(request: Request) -> Path | None:
    """Return where results are kept, if they are."""
    if not request.use_cache:
        return None
    reason = why_unusable(root := default_root())
    if reason is not None:
        _LOG.warning("%s", reason)
    return root if reason is None else None


@contextmanager
def _told_by_the_system() -> Iterator[None]:
    """Turn a missing permission, or a full disk for temporary files, into one clear error."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise OutputError(
            error.strerror or str(error), where=str(error.filename or tempfile.gettempdir()),
            fix="free some space; TMPDIR=DIR puts temporary files elsewhere" if full else "check its permissions",
        ) from error  # fmt: skip


def plan(started: Started) -> Planned:
    """Load or make the recipe, and find everything that cannot work before any work is done."""
    request = started.request
    started.notify("plan", str(request.source), None)
    passes = table()
    loaded = load_source(request.source, request.data, passes=passes, overrides=request.overrides)
    recipe, hardware = loaded.recipe, detect()
    problems = [
        *chain.check(recipe, passes, hardware),
        *prepare.consent(loaded, code=request.allow_code, pickles=request.allow_pickle),
        *metric_problems(recipe.metric),
    ]
    if problems:
        raise RecipeError.of(loaded.located(problem) for problem in problems)
    output = request.output or Path("artifacts") / recipe.name
    signer = packing.check_possible(output, request.signer, request.key, sign=request.sign)
    options = RuntimeOptions(threads=recipe.target.threads or hardware.cores, device=recipe.target.device)
    baselines = load_baselines(recipe.gates, loaded.base)
    notes = tuple(chain.advice(recipe) + prepare.advice(recipe))
    return _extend(Planned, started, request=replace(request, signer=signer), loaded=loaded, passes=passes,
                   hardware=hardware, options=options, output=output, baselines=baselines, notes=notes,
                   code=prepare.code_digests(loaded))  # fmt: skip


def ready(planned: Planned) -> Prepared:
    """Read the data and build the source model; both come from the cache when nothing changed."""
    recipe, base, log = planned.loaded.recipe, planned.loaded.base, planned.scratch / "prepare.log"
    metric = recipe.metric
    read = partial(prepare.dataset, recipe, base=base, store=planned.store, log=log)
    inputs = recipe.model.specs
    early: Dataset | None = None
    if inputs and recipe.data.evaluation:  # checked before a model is built, which may take long
        planned.notify("data", "reading and checking", None)
        early = read("evaluation", specs=inputs)
    planned.notify("source", recipe.model.source, None)
    source, _ = prepare.source(recipe, base, inputs, planned.store, log, early)
    if misfits := list(chain.misfits(source.kind, recipe, planned.passes)):  # Python may return either kind
        raise RecipeError.of(map(planned.loaded.located, misfits))
    check_fed(source)
    deployed = deploy(source, planned.options)
    evidence.check_gates(recipe, source, planned.baselines)
    planned.notify("data", "reading and checking", None)
    if recipe.data.evaluation:
        evaluation = read("evaluation", specs=source.inputs, defaults=source.defaults)
    else:
        evaluation = prepare.made_up(recipe.name, deployed, recipe.target.batch_size, planned.store, log)
    calibration = None
    if recipe.data.calibration:
        calibration = read("calibration", specs=source.inputs, defaults=source.defaults)
    if calibration is not None:
        check_disjoint(calibration, evaluation)
    given = [data for data in (evaluation, calibration) if data is not None]
    for data in given:
        check_finite(data, deployed, log)
    evaluator = Evaluator(
        planned.store, evaluation, load_metric(metric.name, base, metric.args, metric.output), deployed,
        evidence.source_name(source), recipe.target.batch_size, planned.hardware, planned.scratch,
        recipe.name, metric.output,
    )  # fmt: skip
    planned.notify("data", "running the source model on it", None)
    evaluator.scores(deployed)  # a model that does not run, or a metric that does not fit: before the long work
    job = pipeline.Job(
        recipe.name, planned.passes, recipe.target, recipe.objective, planned.hardware, source.inputs,
        recipe.model.outputs, calibration.digest if calibration else None, evaluation.digest, budget_of(recipe, base),
        planned.store, planned.options, evaluation, calibration, planned.scratch, Path("repro"), evaluator.changed,
    )  # fmt: skip
    said = dict.fromkeys((*(note for data in given for note in data.notes), *evaluator.notes))
    notices = (
        *prepare.interface_notice(source),
        *said,
        *sample_notice(recipe.gates, evaluation.count, evaluator.metric),
    )
    for notice in notices:
        planned.notify(notice, "", None)
    return _extend(Prepared, planned, source=source, evaluation=evaluation, calibration=calibration,
                   evaluator=evaluator, job=job, notes=(*planned.notes, *notices))  # fmt: skip


def transform(prepared: Prepared) -> Transformed:
    """Run the passes."""
    recipe = prepared.loaded.recipe
    keep = guard(_campaign(prepared), partial(prepared.notify, "is it worth it?"))

    def notify(step: str) -> None:
        prepared.notify(f"pass {step}", "", None)

    start = pipeline.start(prepared.source, prepared.job)
    outcomes = tuple(pipeline.run(start, recipe.passes, prepared.job, keep, notify))
    return _extend(Transformed, prepared, outcomes=outcomes)


def measure(transformed: Transformed) -> Measured:
    """Measure the references, every kept step and the result in one interleaved run, and what explains them."""
    batch_size = transformed.loaded.recipe.target.batch_size
    start, outcomes = pipeline.start(transformed.source, transformed.job), transformed.outcomes
    exported = pipeline.exported(start, outcomes, transformed.job)
    lineup = evidence.lineup(transformed.evaluator.source, outcomes, batch_size, exported, start)
    check_shippable(lineup.final.model)
    findings = campaign.conduct(_campaign(transformed), lineup, transformed.notify)
    return _extend(Measured, transformed, lineup=lineup, findings=findings)


def judge(measured: Measured) -> Judged:
    """Write the evidence down and hold it against the gates."""
    measured.notify("judge", "accuracy and gates", None)
    prepare.check_unchanged(measured.code, measured.loaded, measured.source)
    recipe, findings = measured.loaded.recipe, measured.findings
    data = {"evaluation": measured.evaluation, "calibration": measured.calibration}
    report = evidence.report(
        recipe, measured.lineup, measured.outcomes, findings.run, measured.evaluator, data,
        (*measured.notes, *findings.notes),
    ).model_copy(update={
        "sweep": findings.sweep, "operators": findings.operators,
        "made_by": MadeBy(command=measured.request.command, artifact=told(measured.output)),
    })  # fmt: skip
    verdicts = judge_gates(evidence.gates(recipe), report, samples=findings.run.blocks, baselines=measured.baselines)
    return _extend(Judged, measured, report=report.model_copy(update={"gates": verdicts, "verdict": overall(verdicts)}))


def pack(judged: Judged) -> Artifact:
    """Write the artifact, and sign it if the gates passed."""
    judged.notify("pack", str(judged.output), None)
    request = judged.request
    data = {"evaluation": judged.evaluation, "calibration": judged.calibration}
    sources = prepare.digests(judged.loaded, judged.source, data)
    origin = packing.origin(judged.loaded, sources, judged.report, request.overrides, judged.begun)
    return packing.write(
        judged.output, judged.report, judged.lineup.final, judged.loaded,
        judged.findings.run.blocks, origin, signer=request.signer, sign=request.sign,
        allow_ungated=request.allow_ungated,
    )  # fmt: skip


STAGES: tuple[Callable[[Any], Any], ...] = (
    plan,
    ready,
    transform,
    measure,
    judge,
    pack,
)


def _campaign(state: Prepared) -> campaign.Campaign:
    return campaign.Campaign(state.loaded.recipe, state.evaluator, state.baselines, state.job.repro)


def _extend(kind: type[S], state: Any, **more: Any) -> S:
    return kind(**{field.name: getattr(state, field.name) for field in fields(state)} | more)
