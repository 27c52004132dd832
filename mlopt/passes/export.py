"""PyTorch to ONNX, with the names, dynamic dimensions and results that were declared, or one clear error.

Cases: a module, a scripted module and a ``torch.export`` program; dynamic dimensions by name; weights above 2 GB
(external data). ``auto`` tries ``torch.export`` first, and TorchScript where that fails; the notes say which it was.

Limits: Python that branches on tensor values cannot be traced. The TorchScript fallback would keep one branch in
silence, so ``python_reads`` watches what Python reads. Scripted modules keep their control flow. Python that branches
on sizes may be traced for some sizes only; ``traced_sizes`` finds that out.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from mlopt.core.errors import MloptError, ModelError, PassError, Problem
from mlopt.formats.model import ONNX, TORCH, Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.torch.model import import_torch
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Requires
from mlopt.passes.exporting.examples import example_inputs
from mlopt.passes.exporting.exporter_errors import FIX_BRANCH, FIX_PACKED, HERE, explain
from mlopt.passes.exporting.size_guards import Probe, compared, comparisons, written
from mlopt.passes.exporting.traced_sizes import check_sizes, dimensions
from mlopt.passes.exporting.tracing import Task, dynamo, open_task, write

if TYPE_CHECKING:
    import onnx_ir as ir

    from mlopt.passes.exporting.python_reads import Read

_LOG = logging.getLogger(__name__)
_FROZEN = "the model branches on tensor values, so it cannot be traced"
_OLDEST_DYNAMO, _NEWEST_TORCHSCRIPT = 18, 20

Exporter = Literal["auto", "dynamo", "torchscript"]


class ExportConfig(PassConfig):
    """How to export."""

    opset: int = Field(default=20, ge=11, le=23, description="version of the ONNX operators")
    exporter: Exporter = Field(
        default="auto", description="dynamo (torch.export), torchscript, or auto: dynamo where it works"
    )

    @model_validator(mode="after")
    def _opset_fits(self) -> Self:
        if self.exporter == "dynamo" and self.opset < _OLDEST_DYNAMO:
            raise ValueError(f"the dynamo exporter writes opset {_OLDEST_DYNAMO} and later, not {self.opset}")
        if self.exporter == "torchscript" and self.opset > _NEWEST_TORCHSCRIPT:
            raise ValueError(f"the torchscript exporter writes opset {_NEWEST_TORCHSCRIPT} at most, not {self.opset}")
        return self


def run(model: Model, config: ExportConfig, context: Context) -> PassResult:
    """Export a model; see ``export``."""
    return export(open_task(model, context), config, context)


def export(task: Task, config: ExportConfig, context: Context) -> PassResult:
    """Export, name inputs and outputs as declared, and hold the file against the module at several sizes.

    Where one exporter fails, or its file does not hold, the next one has its turn. Each traces a fresh module: a
    failed attempt may leave its tensors in the last one.
    """
    failures, probes = list[Problem](), list[Probe]()
    for exporter, because in _exporters(task, config):
        try:
            path, notes = _attempt(exporter, task, config, context, probes)
        except (PassError, ModelError) as error:
            _LOG.warning("%s: %s", exporter, error, exc_info=error.__cause__)
            failures += error.problems
            continue
        reason = because or (f"{failures[0].what}: {failures[0].got}" if failures else None)
        return PassResult(path, {"exporter": exporter, **({"because": reason} if reason else {}), **notes})
    raise PassError.of(_told(failures))


def _told(failures: list[Problem]) -> list[Problem]:
    """Return what to tell, the first one first; what both exporters stumble over is one problem.

    Where Python reads values, that is the reason, whatever the other exporter made of it: a size that seems fixed.
    """
    frozen = [each for each in failures if each.what == _FROZEN]
    first, *more = failures
    for other in more:
        if other.where != first.where or (other.what != first.what and not FIX_BRANCH == first.fix == other.fix):
            return frozen or failures
        got = f"{first.got}; {other.got}" if other.what != first.what else other.got
        first = replace(other, got=got)
    return [first]


def _exporters(task: Task, config: ExportConfig) -> Iterator[tuple[Exporter, str | None]]:
    """Yield each exporter to try, and why it is this one; None for the first choice, or where the first one failed."""
    if _scripted(task) and config.exporter == "dynamo":
        raise PassError(
            "the dynamo exporter takes no scripted module", where=HERE, got=type(task.module.model).__name__,
            fix="exporter: auto, or return the module itself from build()",
        )  # fmt: skip
    if config.exporter == "torchscript":
        yield "torchscript", "it was asked for"
    elif _scripted(task):
        yield "torchscript", "the model is a scripted module"
    elif config.opset < _OLDEST_DYNAMO:
        yield "torchscript", f"opset {config.opset}: the dynamo exporter starts at {_OLDEST_DYNAMO}"
    else:
        yield "dynamo", None
        if config.exporter == "auto":
            yield "torchscript", None


def _attempt(
    exporter: Exporter, task: Task, config: ExportConfig, context: Context, probes: list[Probe]
) -> tuple[Path, dict[str, Any]]:
    """Export with one exporter, and hold the file against the module; raises ``PassError``.

    What one exporter learns of sizes that may matter, it leaves in ``probes`` for the next.
    """
    branches: list[str] = []
    traced = dimensions(task.specs, task.examples)
    try:
        if exporter == "dynamo":
            with comparisons() as seen:
                try:
                    graph = dynamo(task, config.opset)
                finally:
                    probes += compared(seen, task.specs, traced)
        else:
            with tempfile.TemporaryDirectory(dir=context.out) as folder:  # large weights come as one file each
                opset = min(config.opset, _NEWEST_TORCHSCRIPT)
                graph, branches = _torchscript(task, opset, Path(folder) / "traced.onnx")
            probes += written(branches, traced)
    except MloptError:
        raise
    except Exception as error:  # the model's own code runs in it, and may raise anything
        problem = explain(exporter, error, task.module, task.specs, task.examples)
        if config.exporter == "dynamo":
            problem = replace(problem, fix=f"exporter: auto, or torchscript; or {problem.fix}")
        raise PassError(problem) from error
    for left in context.out.iterdir():
        left.unlink()
    path = write(graph, task, context.out / "model.onnx")
    examples, others = (example_inputs(task.specs, context.samples, seed) for seed in (0, 1))
    threads = context.target.threads or 1
    sizes = check_sizes(
        open_onnx(path), task.module, task.specs, examples, threads=threads, others=others, branches=branches,
        probes=probes,
    )  # fmt: skip
    return path, {"opset": graph.opset_imports[""], "sizes_checked": sizes}


def _torchscript(task: Task, opset: int, path: Path) -> tuple[ir.Model, list[str]]:
    """Return the graph, and the lines where the model's Python read a size."""
    torch = import_torch()
    import onnx_ir as ir

    from mlopt.passes.exporting.packed_sequences import PackedSequences
    from mlopt.passes.exporting.python_reads import watched

    axes = [{axis: str(spec.shape[axis]) for axis in spec.dynamic_axes} for spec in task.specs]
    module, examples = task.module.fresh(), task.examples
    with warnings.catch_warnings(), PackedSequences(), watched(module) as reads:
        warnings.simplefilter("ignore")  # the tracer cannot tell a size from a value: ``reads`` can
        try:
            scripted = any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())
            traced = torch.jit.trace(module, examples, check_trace=False) if scripted else module
            torch.onnx.export(
                traced, examples, str(path), dynamo=False, opset_version=opset, verbose=False,
                input_names=task.neutral_inputs, output_names=task.neutral_outputs,
                dynamic_axes=dict(zip(task.neutral_inputs, axes, strict=True)),
            )  # fmt: skip
        finally:
            _refuse_frozen_values(reads)
    graph = ir.load(path)
    ir.external_data.load_to_model(graph)
    _restore_unused_inputs(graph, task)
    return graph, [read.line for read in reads]


def _restore_unused_inputs(graph: ir.Model, task: Task) -> None:
    """Put back the inputs that forward() does not use: the tracer drops them, but callers pass them."""
    import numpy as np
    import onnx_ir as ir

    for index, (name, spec) in enumerate(zip(task.neutral_inputs, task.specs, strict=True)):
        if index == len(graph.graph.inputs) or graph.graph.inputs[index].name != name:
            dtype = ir.TensorType(ir.DataType.from_numpy(np.dtype(spec.dtype)))
            graph.graph.inputs.insert(index, ir.Value(name=name, shape=ir.Shape(spec.shape), type=dtype))


def _refuse_frozen_values(reads: list[Read]) -> None:
    """Raise if Python read a value that depends on the input: the tracer made a constant of it."""
    frozen = next((read for read in reads if read.of_values), None)
    if frozen:
        packed = "pack_padded_sequence" in frozen.code
        raise PassError(
            _FROZEN, where=frozen.line,
            got=f"Converting a tensor to {frozen.into}",
            expected="Python control flow that does not depend on the input", fix=FIX_PACKED if packed else FIX_BRANCH,
        )  # fmt: skip


def _scripted(task: Task) -> bool:
    return isinstance(task.module.model, import_torch().jit.ScriptModule)


PASS = Pass(
    name="export",
    version=4,
    summary="PyTorch to ONNX, with the declared names and dynamic dimensions",
    accepts=frozenset({TORCH}),
    produces=ONNX,
    config=ExportConfig,
    run=run,
    requires=Requires(extra="torch", packages=("torch", "onnxscript", "onnx-ir")),
)
