"""What the result of a step depends on: the key under which the cache keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlopt.core.cache_entry import Key
from mlopt.core.hardware import Hardware, usable_cores
from mlopt.core.packages import versions
from mlopt.core.target import Objective, Target
from mlopt.core.usercode import parse_reference
from mlopt.formats.model import TORCH, TensorSpec, digest_file
from mlopt.passes.base import Pass
from mlopt.recipe.schema import Step
from mlopt.results.budget import Budget
from mlopt.runtimes.table import runtime_named
from mlopt.runtimes.table import table as runtimes_table

Passes = Mapping[str, Pass[Any]]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the results of steps depend on, besides their input and configuration."""

    name: str
    passes: Passes
    target: Target
    objective: Objective
    hardware: Hardware
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    calibration_digest: str | None = None
    train_digest: str | None = None
    samples_digest: str
    budget: Budget
    source_digest: str | None = None
    """Of the recipe's model, from which passes that train may learn."""
    exact_digest: str | None = None
    """Of the ONNX model before the first lossy step."""
    base: Path = Path()
    """The recipe's folder."""
    beside: tuple[str, ...] = ()
    """The other runtimes in which the chain is run: a step that measures stops where it cannot keep up with them."""


def key_of(digest: str, number: int, step: Step, job: Setting, deployed: Mapping[str, Any] | None = None) -> Key:
    """Return what the result of a step depends on; ``deployed`` is how its input is run, if a pass chose that."""
    pass_ = job.passes[step.name]
    needs = pass_.requires
    parts: dict[str, Any] = {
        "input": digest,
        "pass": {"name": pass_.name, "version": pass_.version},
        "config": step.config.model_dump(mode="json"),
        "packages": versions(("onnx", *needs.packages, *needs.uses)),
        "target": {**_of_target(step, job.target), "objective": job.objective.value},
        "checked on": job.samples_digest,
    }
    if deployed is not None:
        parts["deployed"] = dict(deployed)
    if TORCH in pass_.accepts:
        parts["inputs"] = [str(spec) for spec in job.inputs]
        parts["outputs"] = list(job.outputs)
    if step.config.takes_exact:
        parts["exact"] = job.exact_digest
    if pass_.lossy or step.config.takes_exact:
        parts["calibration"] = job.calibration_digest
    if pass_.trains(step.config):
        parts["train"] = job.train_digest
        parts["source"] = job.source_digest
    if step.config.named:
        parts["named"] = {key: _digest_of(text, job.base) for key, text in step.config.named.items()}
    if step.config.searches:
        parts["budget"] = job.budget.parts
        threads = job.target.threads or usable_cores()
        parts["machine"] = {"cpu": job.hardware.cpu, "threads": threads, "runs": _measured_in(job.target, deployed)}
        if job.beside:
            parts["beside"] = {name: versions(runtime_named(name).packages) for name in job.beside}
    if needs.device_bound:
        gpu = job.hardware.gpu.model_dump() if job.hardware.gpu else None
        parts["device"] = {"isa": list(job.hardware.isa), "gpu": gpu}
    return Key("passes", f"{job.name}: {number + 1} {step.name}{_told_where(step, job.target, deployed)}", parts)


def _told_where(step: Step, target: Target, deployed: Mapping[str, Any] | None) -> str:
    """Return the runtime for which a step is done, if its result depends on that: two ways are two pieces of work."""
    depends = step.config.follows_runtime or deployed is not None
    return f" in {target.runtimes[0]}" if depends and len(target.runtimes) == 1 else ""


def _digest_of(text: str, base: Path) -> str | None:
    """Return the digest of a file, or of a function's file with what it imports; None if it is not there."""
    code = parse_reference(text, base)
    if code is not None:
        return code.digest
    path = base / text
    return digest_file(path) if path.is_file() else None


def _of_target(step: Step, target: Target) -> dict[str, Any]:
    """Return what a step's result depends on; what does not follow the runtime is made once for all of them."""
    left_out = {"threads"} if step.config.follows_runtime else {"threads", "runtime"}
    return target.model_dump(mode="json", exclude=left_out)


def _measured_in(target: Target, deployed: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the versions of what may run a model that is measured: as a pass chose, else as the target says."""
    names = target.runtimes if deployed is None else (deployed["runtime"],)
    every = [runtime_named(name) for name in names] if names else runtimes_table().values()
    return versions(tuple(package for each in every for package in each.packages))
