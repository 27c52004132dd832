"""Options of the runtime with which the model is faster on this machine, found by measuring; the model stays as it is.

Cases: what the runtime of the model says is worth a try (``Runtime.tunings``): threads, also fewer than the target
allows, the runtime's own graph optimizations, how threads wait, memory; streams where several clients ask at a time.
``mlopt.measure.tuning`` races them; or a recipe states them. The options go into the manifest, and ``mlopt.load`` opens
the model with them.

Limits: most models gain nothing, and are refused. What helps here need not help on another machine. Only ONNX models:
eager PyTorch has threads and nothing else. Put the pass last, since every later pass changes what is fast.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from mlopt.core.errors import DataError, ModelError, PassError
from mlopt.core.target import Objective
from mlopt.data.choice import some
from mlopt.data.dataset import Array, Dataset
from mlopt.data.feeds import predict
from mlopt.formats import table as formats
from mlopt.formats.model import ONNX, Model
from mlopt.measure.lossless import change
from mlopt.measure.tuning import Tuned, tune
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Refusal
from mlopt.runtimes.base import Deployable, RuntimeOptions
from mlopt.runtimes.table import open_session, runtime_named

_CHECKED_ON = 8
_PROCESSES, _COPIES = 16, 2
_OF_A_PROCESS, _OF_A_MODEL = 200 << 20, 3
"""Memory of a process that runs a model: the runtime's, in bytes, and how many times the size of the model's files."""


class TuneSessionConfig(PassConfig):
    """How long to look, or what was found."""

    seconds: float = Field(default=60, gt=0, description="the time that the search may take")
    options: dict[str, str | bool | int] = Field(
        default={}, description="take these options of the runtime, such as {threads: 1}, and look for none"
    )

    @property
    def searches(self) -> bool:
        """Whether this machine is measured."""
        return not self.options

    @property
    def follows_runtime(self) -> bool:
        """Always: options are one runtime's."""
        return True


def refuse(model: Model, config: TuneSessionConfig, context: Context) -> str | None:
    """Return why there is nothing to choose."""
    if context.objective is Objective.SIZE:
        return "the objective is size, which no option of a session changes"
    deployable = _deployed(context)
    if config.options:
        return None
    if runtime_named(deployable.runtime).tunings is None:
        return f"the runtime '{deployable.runtime}' names no options that are worth a try"
    if not _ways(model, deployable, context.objective):
        return f"there is nothing to choose in {deployable.runtime} on {deployable.options.threads} threads"
    return "without samples there is nothing to measure on" if context.samples is None else None


def run(model: Model, config: TuneSessionConfig, context: Context) -> PassResult | Refusal:
    """Search, and copy the model beside its new options; refuse where nothing is surely faster."""
    deployable, samples = _deployed(context), context.samples
    if config.options:
        options = stated(deployable.options, config.options)
        copy = formats.copied(model, context.out, lambda _name: True)
        return PassResult(copy.path, {"runtime": deployable.runtime}, runtime=deployable.runtime, options=options)
    if context.measuring is None or samples is None:
        raise PassError("options are measured, and here is nothing to measure with", where="pass 'tune_session'")
    with tempfile.TemporaryDirectory(dir=context.out) as scratch:
        measuring = context.measuring(deployable, samples, context.target.batch_size, Path(scratch))
        tuned = tune(
            deployable.options, _ways(model, deployable, context.objective), measuring, seconds=config.seconds,
            objection=_objection(deployable, samples, context.target.batch_size), clients=context.target.clients,
            at_once=_at_once(model, context.hardware.memory_bytes),
        )  # fmt: skip
    notes = _notes(tuned, deployable, context.target.clients)
    if tuned.options is None:
        return Refusal(tuned.changes, notes)
    copy = formats.copied(model, context.out, lambda _name: True)
    return PassResult(copy.path, notes, runtime=deployable.runtime, options=tuned.options)


def stated(options: RuntimeOptions, changes: Mapping[str, str | bool | int]) -> RuntimeOptions:
    """Return options with what a recipe says of them; raises ``PassError`` for what this runtime has not."""
    try:
        return type(options).model_validate({**dict(options), **changes})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise PassError(
            f"these are no options of the runtime: {first['msg']}", where=f"passes.tune_session.options.{key}",
            got=str(changes.get(key, key)), expected=", ".join(type(options).model_fields),
            fix="`target: {runtime: NAME}` says whose they are; `mlopt tune` writes what fits",
        ) from error  # fmt: skip


def _deployed(context: Context) -> Deployable:
    if context.deployable is None:
        raise PassError("it is not said how the model is run", where="pass 'tune_session'")
    return context.deployable


def _ways(model: Model, deployable: Deployable, objective: Objective) -> Mapping[str, RuntimeOptions]:
    tunings = runtime_named(deployable.runtime).tunings
    return {} if tunings is None else tunings(model, deployable.options, objective)


def _at_once(model: Model, memory_bytes: int) -> int:
    """Return how many processes may have the model open at a time, beside two: they take half the memory at most."""
    fit = memory_bytes // 2 // (_OF_A_PROCESS + _OF_A_MODEL * model.size_bytes)
    return max(1, min(_PROCESSES, fit) - _COPIES)


def _objection(deployable: Deployable, samples: Dataset, batch_size: int) -> Callable[[RuntimeOptions], str | None]:
    """Return what tells whether the model answers a few samples otherwise with other options."""
    rows = some(samples, _CHECKED_ON).tolist()
    expected: dict[str, Array] = {}

    def outputs(options: RuntimeOptions) -> dict[str, Array]:
        with open_session(replace(deployable, options=options)) as session:
            return predict(session.run, samples, deployable.model.inputs, batch_size, rows)

    def objection(options: RuntimeOptions) -> str | None:
        try:
            expected.update(expected or outputs(deployable.options))
            found = change(expected, outputs(options), samples=rows)
        except (DataError, ModelError) as error:
            return f"it cannot be used: {error.problems[0].what}"
        return None if found is None else f"it changes what the model computes: {found}"

    return objection


def _notes(tuned: Tuned[RuntimeOptions], deployable: Deployable, clients: int) -> dict[str, Any]:
    """Say what was chosen, and what became of each change."""
    notes: dict[str, Any] = {"runtime": deployable.runtime}
    if tuned.options is not None:
        notes["chosen"] = tuned.changes
        allowed, taken = deployable.options.threads, tuned.options.threads
        notes |= {"threads": f"{taken} of the {allowed} that were allowed"} if taken != allowed else {}
    notes |= {"clients": clients} if clients > 1 else {}
    notes["seconds"] = round(tuned.seconds, 1)
    return notes | {f"tried {name}": said for name, said in tuned.tried.items()}


PASS = Pass(
    name="tune_session",
    version=2,
    summary="the runtime's options that are fastest on this machine, by measuring: threads, memory, graph level",
    accepts=frozenset({ONNX}),
    produces=ONNX,
    config=TuneSessionConfig,
    run=run,
    refuse=refuse,
)
