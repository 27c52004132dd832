"""The chain of passes, folded over the steps: each in the cache, and in its own process.

``run`` keeps the best valid model so far: an optional step that fails, refuses or does not help is left out with its
reason; a required one that fails ends the run, and what was done before stays in the cache.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlopt import repro
from mlopt.budget import Budget
from mlopt.cache import Entry, Key, Store
from mlopt.conformance import CHANGED, check_output, remedy
from mlopt.data.dataset import Dataset
from mlopt.errors import DataError, MeasureError, MloptError, ModelError, PassError, Problem
from mlopt.formats import opened
from mlopt.hardware import Hardware, usable_cores
from mlopt.model import ONNX, TORCH, Model, TensorSpec, count_of
from mlopt.packages import versions
from mlopt.passes import table
from mlopt.passes.base import Context, Pass, PassConfig, Refusal
from mlopt.recipe.schema import Step
from mlopt.report.schema import Accuracy, Latency, Parity
from mlopt.runtimes import Deployable, RuntimeOptions, deploy, deployed_after, runtime_named
from mlopt.target import Objective, Target
from mlopt.worker import WorkerDiedError, WorkerRaisedError, peak_rss_bytes, run_in_worker

Passes = Mapping[str, Pass[Any]]


@dataclass(frozen=True)
class Setting:
    """What the results of steps depend on, besides their input and configuration."""

    name: str
    passes: Passes
    target: Target
    objective: Objective
    hardware: Hardware
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    calibration_digest: str | None
    samples_digest: str
    budget: Budget


@dataclass(frozen=True)
class Job(Setting):
    """A setting with what it takes to run steps in it."""

    store: Store
    options: RuntimeOptions
    """What all runtimes have in common: threads and device."""
    samples: Dataset
    calibration: Dataset | None
    logs: Path
    repro: Path
    changed: Callable[[Deployable, Deployable], str | None] = lambda _before, _after: None
    """``changed(before, after)`` tells what a lossless step did to the outputs of any evaluation sample."""


@dataclass(frozen=True)
class Outcome:
    """What one step did. ``deployable`` is None unless the step was kept."""

    step: Step
    version: int
    status: str
    reason: str | None
    deployable: Deployable | None = None
    seconds: float | None = None
    peak_rss_bytes: int | None = None
    parity: Parity | None = None
    notes: Mapping[str, Any] | None = None
    trial: Ruling | None = None
    """What the guard measured, of an optional step."""

    @property
    def model(self) -> Model | None:
        """What the step wrote."""
        return None if self.deployable is None else self.deployable.model


@dataclass(frozen=True)
class Ruling:
    """What became of an optional step: the reason to drop it, or None, and the figures behind that."""

    reason: str | None
    latency_ms: Latency | None = None
    accuracy: Accuracy | None = None


Guard = Callable[[Deployable, Deployable, bool], Ruling]
"""``guard(best, candidate, lossy)`` decides whether what an optional step came to is kept."""
Notify = Callable[[str], None]


def run(source: Deployable, steps: Sequence[Step], job: Job, guard: Guard, notify: Notify) -> Iterator[Outcome]:
    """Yield the outcome of each step, in order; the last outcome with a model is what the chain came to.

    Raises ``PassError`` when a required step fails or refuses.
    """
    best = source
    for number, step in enumerate(steps):
        notify(f"{step.name} ({number + 1} of {len(steps)})")
        outcome = _held(best, number, step, job)
        if (
            outcome.deployable is not None
            and outcome.status != "dropped"
            and step.optional
            and outcome.deployable.model.kind == best.model.kind
        ):
            ruling = _ruling(guard, best, outcome.deployable, lossy=job.passes[step.name].lossy)
            outcome = replace(outcome, trial=ruling)
            if ruling.reason is not None:
                outcome = replace(outcome, status="dropped", reason=ruling.reason)
        yield outcome
        if outcome.deployable is not None and outcome.status != "dropped":
            best = outcome.deployable


def start(source: Model, job: Job) -> Deployable:
    """Return how the source is run as the target says, until a pass says otherwise: where the chain begins."""
    return deploy(source, job.options, job.target.runtimes)


def exported(source: Deployable, outcomes: Sequence[Outcome], job: Job) -> Deployable | None:
    """Return the source in FP32 as ONNX if no step gave that, because the one that left PyTorch is lossy; else None.

    It is what the result is compared with. Raises ``PassError`` if ``export`` fails.
    """
    kept = [each for each in outcomes if each.model is not None and each.status != "dropped"]
    as_it_is = any(each.model is not None and each.model.kind == ONNX for each in kept)
    if source.model.kind != TORCH or (as_it_is and not job.passes[kept[0].step.name].lossy):
        return None
    export = job.passes["export"]
    return _held(source, len(outcomes), Step(name=export.name, config=export.config()), job).deployable


def _ruling(guard: Guard, best: Deployable, model: Deployable, *, lossy: bool) -> Ruling:
    """Ask the guard; a model that it cannot measure or score is not kept, and the run goes on."""
    try:
        return guard(best, model, lossy)
    except (DataError, MeasureError, ModelError) as error:
        problem = error.problems[0]
        return Ruling(f"it could not be judged: {problem.what}{_detail(problem)}")


def key_of(digest: str, number: int, step: Step, job: Setting, deployed: Mapping[str, Any] | None = None) -> Key:
    """Return what the result of a step depends on; ``deployed`` is how its input is run, if a pass chose that."""
    pass_ = job.passes[step.name]
    needs = pass_.requires
    parts: dict[str, Any] = {
        "input": digest,
        "pass": {"name": pass_.name, "version": pass_.version},
        "config": step.config.model_dump(mode="json"),
        "packages": versions(("onnx", *needs.packages)),
        "target": {**job.target.model_dump(mode="json", exclude={"threads"}), "objective": job.objective.value},
        "checked on": job.samples_digest,
    }
    if deployed is not None:
        parts["deployed"] = dict(deployed)
    if TORCH in pass_.accepts:
        parts["inputs"] = [str(spec) for spec in job.inputs]
        parts["outputs"] = list(job.outputs)
    if pass_.lossy:
        parts["calibration"] = job.calibration_digest
    if step.config.searches:
        parts["budget"] = job.budget.parts
        parts["machine"] = {"cpu": job.hardware.cpu, "threads": job.target.threads or usable_cores()}
    if needs.device_bound:
        gpu = job.hardware.gpu.model_dump() if job.hardware.gpu else None
        parts["device"] = {"isa": list(job.hardware.isa), "gpu": gpu}
    return Key("passes", f"{job.name}: {number + 1} {step.name}", parts)


def _chosen(best: Deployable, options: RuntimeOptions, target: Target) -> dict[str, Any] | None:
    """Return how a model is run, as the cache keeps it, unless it is run as any of its kind is."""
    if best == deploy(best.model, options, target.runtimes):
        return None
    return {"runtime": best.runtime, "options": best.options.model_dump(mode="json")}


def _as_chosen(model: Model, chosen: Mapping[str, Any] | None, job: Job) -> Deployable:
    """Read what ``_chosen`` gave."""
    if chosen is None:
        return deploy(model, job.options, job.target.runtimes)
    options = runtime_named(chosen["runtime"]).options.model_validate(chosen["options"])
    return Deployable(model, chosen["runtime"], options)


def _step(best: Deployable, number: int, step: Step, job: Job) -> Outcome:
    pass_ = job.passes[step.name]
    log = job.logs / f"{number + 1}-{step.name}.log"
    before = best.model
    key = key_of(before.digest, number, step, job, _chosen(best, job.options, job.target))
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
        return Outcome(step, pass_.version, "failed", problems[0].what + _detail(problems[0]))
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
        deployable=_as_chosen(model, result.get("deployed"), job), seconds=result["seconds"],
        peak_rss_bytes=result["peak_rss_bytes"], parity=Parity(**result["parity"]), notes=result["notes"],
    )  # fmt: skip


def _held(best: Deployable, number: int, step: Step, job: Job) -> Outcome:
    """Run one step and, if it is lossless, hold it to that on all evaluation samples."""
    outcome, pass_ = _step(best, number, step, job), job.passes[step.name]
    if outcome.deployable is None or pass_.lossy or outcome.deployable.identity == best.identity:
        return outcome
    found = job.changed(best, outcome.deployable)
    if found is None:
        return outcome
    if step.optional and pass_.produces == best.model.kind:
        return replace(outcome, status="dropped", reason=f"{CHANGED}: {found}")
    told = _keep(number, best.model, step, job, job.logs / f"{number + 1}-{step.name}.log")
    raise PassError(
        CHANGED, where=f"pass '{step.name}' (step {number + 1})", got=found,
        expected="equal outputs within rounding on every evaluation sample", fix=f"{remedy(pass_)}; {told}",
    )  # fmt: skip


def _fetch(key: Key, before: Deployable, step: Step, job: Job, log: Path) -> tuple[Entry, bool]:
    """Get the step's result from the cache or from a worker."""

    def make(out: Path) -> Mapping[str, Any]:
        context = Context(
            out, job.target, job.objective, job.hardware,
            job.calibration if job.passes[step.name].lossy else None, job.samples, job.inputs, job.outputs,
            job.budget, before, job.store,
        )  # fmt: skip
        try:
            return run_in_worker(log, execute, step.name, before, step.config, context, job.options)
        except (WorkerDiedError, WorkerRaisedError) as error:
            raise PassError(f"the pass '{step.name}' failed", where=key.label, got=str(error)) from error
        except MloptError as error:
            raise PassError.of(
                replace(problem, where=problem.where or key.label) for problem in error.problems
            ) from error

    return job.store.fetch(key, make)


def execute(
    name: str, before: Deployable, config: PassConfig, context: Context, options: RuntimeOptions
) -> Mapping[str, Any]:
    """Run one pass and check what it wrote; in the worker. Returns the entry's JSON."""
    pass_, model = table()[name], before.model
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
        raise PassError("there are no samples to check the pass on", where=f"pass '{name}'")
    conformity = check_output(pass_, before, after, context.samples)
    return {
        "path": result.path.relative_to(context.out).as_posix(),
        "digest": written.digest,
        "deployed": _chosen(after, options, context.target),
        "seconds": seconds,
        "peak_rss_bytes": peak_rss_bytes(),
        "parity": conformity.parity.model_dump(),
        "notes": {**result.notes, **_fixed(model, written)},
    }


def _fixed(before: Model, after: Model) -> dict[str, str]:
    """Name the inputs that a caller could still set before the pass, and that are constants now."""
    gone = [name for name in before.defaults if name not in after.defaults]
    return {"inputs fixed to their defaults": count_of(gone)} if gone else {}


def _detail(problem: Problem) -> str:
    return f": {problem.got}" if problem.got else ""


def _keep(number: int, best: Model, step: Step, job: Job, log: Path) -> str:
    """Leave what it takes to run the step alone, and say where; that it cannot be written hides no other error."""
    folder = job.repro / f"{job.name}-{number + 1}-{step.name}"
    try:
        kept = repro.write(folder, best, step, job.samples, job.calibration, job.target, job.objective, log)
    except OSError as error:
        return f"{folder} could not be written: {error.strerror}"
    consent = " --allow-code" if best.kind == TORCH and best.path.is_dir() else ""
    return f"see {kept / 'step.log'}; `mlopt optimize {kept / 'recipe.yaml'}{consent}` runs this step alone"
