"""One step of a chain: from the cache or in a process of its own, and held to what its pass declares.

``mlopt.run.loop`` folds it over the steps. What was done before a step that fails stays in the cache.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlopt.core.cache import Store
from mlopt.core.cache_entry import Entry, Key
from mlopt.core.errors import MloptError, ModelError, PassError, Problem
from mlopt.core.target import AUTO, Target
from mlopt.core.worker import WorkerDiedError, WorkerRaisedError, peak_rss_bytes, run_in_worker
from mlopt.data.dataset import Dataset
from mlopt.formats.model import ONNX, TORCH, Model, count_of
from mlopt.formats.table import opened
from mlopt.passes.base import Context, Pass, PassConfig, Refusal
from mlopt.recipe.schema import Step
from mlopt.results.figures import Parity
from mlopt.results.timing import Measuring, Rival
from mlopt.run import failure_bundle
from mlopt.run.contract import CHANGED, check_output, remedy
from mlopt.run.fingerprint import Setting, key_of
from mlopt.run.outcomes import Outcome
from mlopt.runtimes.base import Deployable, RuntimeOptions
from mlopt.runtimes.table import deploy, deployed_after, exactly, runtime_named


@dataclass(frozen=True, kw_only=True)
class Job(Setting):
    """A setting with what it takes to run steps in it."""

    store: Store
    options: RuntimeOptions
    """What all runtimes have in common: threads and device."""
    samples: Dataset
    calibration: Dataset | None = None
    train: Dataset | None = None
    logs: Path
    repro: Path
    source: Model | None = None
    """The recipe's model, for passes that learn from it."""
    exact: Model | None = None
    """The ONNX model before the first lossy step."""
    measuring: Callable[[Deployable, Dataset, int, Path], Measuring] | None = None
    """As of ``Context``."""
    held_before: bool = False
    """Whether the chain was run before, in another runtime: what is the same in both was held to be lossless there."""
    skips: Callable[[Step], str | None] = lambda _step: None
    """Why a step has no place here, if the chain is run for several runtimes, and this is not the step's."""
    spent: Callable[[], str | None] = lambda: None
    """Why an optional step is left out, if there is no time left for any."""
    prefer: Callable[[Deployable], Deployable] = lambda best: best
    """How the model is opened that a lossy step, or one that measures, is to improve on: as fast as the gates allow."""
    rival: Callable[[Deployable], Rival | None] = lambda _best: None
    """What else may be shipped by now, and is faster than the model."""
    changed: Callable[[Deployable, Deployable], str | None] = lambda _before, _after: None
    """``changed(before, after)`` tells what a lossless step did to the outputs of any evaluation sample."""


def begin(source: Model, job: Job) -> Deployable:
    """Return how the source is run as the target says, until a pass says otherwise: where the chain begins."""
    return deploy(source, job.options, job.target.runtimes)


def exported(source: Deployable, outcomes: Sequence[Outcome], job: Job) -> Deployable:
    """Return the source as it is when it is only exported: what the result is compared with.

    That is the source itself unless it is in PyTorch; else what the chain's first kept step made of it, if all this did
    was to export; else ``export`` runs for it alone, as the recipe configures it. Raises ``PassError`` if that fails.
    """
    if source.model.kind != TORCH:
        return source
    changes = ((job.passes[each.step.name], each.kept) for each in outcomes if each.kept is not None)
    by, first = next(((by, made) for by, made in changes if made.model.digest != source.model.digest), (None, source))
    if by is not None and not by.lossy and first.model.kind == ONNX:
        return first
    export = job.passes["export"]
    stated = next((each.step.config for each in outcomes if each.step.name == export.name), export.config())
    made = held(source, len(outcomes), Step(name=export.name, config=stated), job).deployable
    if made is None:
        raise PassError("'export' made no model of the source", where="the baseline")
    return made


def how_run(best: Deployable, options: RuntimeOptions, target: Target) -> dict[str, Any] | None:
    """Return how a model is run, as the cache keeps it, unless it is run as any of its kind is."""
    if best == deploy(best.model, options, target.runtimes):
        return None
    return {"runtime": best.runtime, "options": best.options.model_dump(mode="json")}


def run_so(model: Model, how: Mapping[str, Any] | None, options: RuntimeOptions, target: Target) -> Deployable:
    """Read what ``how_run`` gave."""
    if how is None:
        return deploy(model, options, target.runtimes)
    return Deployable(model, how["runtime"], runtime_named(how["runtime"]).options.model_validate(how["options"]))


def _step(best: Deployable, number: int, step: Step, job: Job) -> Outcome:
    pass_ = job.passes[step.name]
    log = job.logs / f"{number + 1}-{step.name}.log"
    before = best.model
    key = key_of(before.digest, number, step, job, how_run(best, job.options, job.target))
    started = time.monotonic()
    why = None if job.store.get(key) else job.store.why_missing(key)
    try:
        entry, hit = _fetch(key, best, step, job, log)
    except PassError as error:
        told = _keep(number, before, step, job, log)
        problems = [
            replace(problem, fix=f"{problem.fix}; {told}" if problem.fix else told) for problem in error.problems
        ]
        if not step.optional:
            raise PassError.of(problems) from error
        return Outcome(step, pass_.version, "failed", problems[0].what + detail_of(problems[0]))
    seconds = time.monotonic() - started
    if (refusal := entry.result.get("refused")) is not None:
        if hit and entry.result.get("notes"):
            refusal += " (found in an earlier run; --no-cache looks again)"
        if not step.optional:
            fix = "do as that says, remove the step, or mark it `optional: true`"
            raise PassError(f"'{step.name}' does not apply: {refusal}", where=key.label, fix=fix)
        return Outcome(step, pass_.version, "refused", refusal, seconds=seconds, notes=entry.result.get("notes"))
    result = entry.result
    names = tuple(spec.name for spec in before.outputs)
    model = opened(pass_.produces, entry.out / result["path"], log, before.inputs, names)
    return Outcome(
        step, pass_.version, "cached" if hit else "applied", None if hit else why,
        deployable=run_so(model, result.get("deployed"), job.options, job.target), seconds=result["seconds"],
        peak_rss_bytes=result["peak_rss_bytes"], parity=Parity(**result["parity"]), notes=result["notes"],
    )  # fmt: skip


def held(best: Deployable, number: int, step: Step, job: Job) -> Outcome:
    """Run one step and, if it is lossless, hold it to that on all evaluation samples."""
    outcome, pass_ = _step(best, number, step, job), job.passes[step.name]
    if outcome.deployable is None or pass_.lossy or outcome.deployable.identity == best.identity:
        return outcome
    if job.held_before and not step.config.follows_runtime:
        return outcome
    found = job.changed(exactly(best), exactly(outcome.deployable))
    if found is None:
        return outcome
    if step.optional:
        return replace(outcome, status="dropped", reason=f"{CHANGED}: {found}", broken=True)
    told = _keep(number, best.model, step, job, job.logs / f"{number + 1}-{step.name}.log")
    raise PassError(
        CHANGED, where=f"pass '{step.name}' (step {number + 1})", got=found,
        expected="equal outputs within rounding on every evaluation sample", fix=f"{remedy(pass_)}; {told}",
    )  # fmt: skip


def _fetch(key: Key, before: Deployable, step: Step, job: Job, log: Path) -> tuple[Entry, bool]:
    """Get the step's result from the cache or from a worker."""

    pass_ = job.passes[step.name]

    def make(out: Path) -> Mapping[str, Any]:
        context = Context(
            out=out, target=job.target, objective=job.objective, hardware=job.hardware,
            calibration=job.calibration if pass_.lossy or step.config.takes_exact else None,
            exact=job.exact if step.config.takes_exact else None,
            train=job.train if pass_.trains(step.config) else None,
            samples=job.samples, inputs=job.inputs, outputs=job.outputs, budget=job.budget, deployable=before,
            rival=job.rival(before) if step.config.searches else None, store=job.store, measuring=job.measuring,
            base=job.base, source=job.source, unfinished=job.store.unfinished(key),
        )  # fmt: skip
        try:
            return run_in_worker(log, execute, pass_, before, config=step.config, context=context, options=job.options)
        except (WorkerDiedError, WorkerRaisedError) as error:
            raise PassError(f"the pass '{step.name}' failed", where=key.label, got=str(error)) from error
        except MloptError as error:
            raise PassError.of(
                replace(problem, where=problem.where or key.label) for problem in error.problems
            ) from error

    return job.store.fetch(key, make)


def execute(
    pass_: Pass[Any], before: Deployable, config: PassConfig, context: Context, options: RuntimeOptions
) -> Mapping[str, Any]:
    """Run one pass and check what it wrote; in the worker. Returns the entry's JSON."""
    model = before.model
    started = time.monotonic()
    reason = pass_.refuse(model, config, context)
    result = Refusal(reason) if reason is not None else pass_.run(model, config, context)
    if isinstance(result, Refusal):
        shutil.rmtree(context.out)
        context.out.mkdir()
        return {"refused": result.reason, "notes": dict(result.notes)}
    names = tuple(spec.name for spec in model.outputs)
    written = opened(pass_.produces, result.path, None, model.inputs, names)
    wanted = context.target.runtimes
    after = deployed_after(before, written, options, wanted, result.runtime, result.options)
    seconds = time.monotonic() - started
    if context.samples is None:
        raise PassError("there are no samples to check the pass on", where=f"pass '{pass_.name}'")
    pair = (before, after) if pass_.lossy else (exactly(before), exactly(after))
    conformity = check_output(pass_, *pair, context.samples, config)
    return {
        "path": result.path.relative_to(context.out).as_posix(),
        "digest": written.digest,
        "deployed": how_run(after, options, context.target),
        "seconds": seconds,
        "peak_rss_bytes": peak_rss_bytes(),
        "parity": conformity.parity.model_dump(),
        "notes": {**result.notes, **_fixed(model, written)},
    }


def _fixed(before: Model, after: Model) -> dict[str, str]:
    """Name the inputs that a caller could still set before the pass, and that are constants now."""
    gone = [name for name in before.defaults if name not in after.defaults]
    return {"inputs fixed to their defaults": count_of(gone)} if gone else {}


def detail_of(problem: Problem) -> str:
    """Return what was found, to follow what is wrong in one line."""
    return f": {problem.got}" if problem.got else ""


def _alone(step: Step, job: Job) -> list[Step]:
    """Return the step as a whole chain: what writes PyTorch needs an export after it."""
    export = job.passes.get("export")
    if job.passes[step.name].produces != TORCH or export is None:
        return [step]
    return [step, Step(name=export.name, config=export.config())]


def _target_of(steps: Sequence[Step], job: Job) -> Target:
    """Return the target; if what it names does not run what these steps make, with any runtime that does."""
    kind, named = job.passes[steps[-1].name].produces, job.target.runtimes
    if not named or any(kind in runtime_named(name).kinds for name in named):
        return job.target
    return job.target.model_copy(update={"runtime": AUTO})


def _keep(number: int, best: Model, step: Step, job: Job, log: Path) -> str:
    """Leave what it takes to run the step alone, and say where; that it cannot be written hides no other error."""
    folder = job.repro / f"{job.name}-{number + 1}-{step.name}"
    try:
        data = {"evaluation": job.samples, "calibration": job.calibration, "train": job.train}
        alone = _alone(step, job)
        kept = failure_bundle.write(folder, best, alone, data, _target_of(alone, job), job.objective, log=log)
    except (OSError, ModelError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error.problems[0])
        return f"{folder} could not be written: {reason}"
    consent = " --allow-code" if best.kind == TORCH and best.path.is_dir() else ""
    return f"see {kept / 'step.log'}; `mlopt optimize {kept / 'recipe.yaml'}{consent}` runs this step alone"
