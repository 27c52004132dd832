"""PyTorch to ONNX, with the names, dynamic dimensions and results that were declared, or one clear error.

Cases: a module, a scripted module and a ``torch.export`` program; dynamic dimensions by name; weights above 2 GB
(external data). ``auto`` tries ``torch.export`` first, and TorchScript where that fails; the notes say which it was.

Limits: Python that branches on tensor values cannot be traced. The TorchScript fallback would keep one branch in
silence, so its tracer's warnings are errors here. Scripted modules keep their control flow. Python that branches on
sizes is traced for some sizes only; ``traced_sizes`` finds that out.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from mlopt.errors import PassError
from mlopt.model import Kind, Model
from mlopt.onnx_file import open_onnx
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Requires
from mlopt.passes.traced_sizes import check_sizes
from mlopt.passes.tracing import Task, cause, dynamo, open_task, user_line, write
from mlopt.torch_source import import_torch

if TYPE_CHECKING:
    import onnx_ir as ir

_OLDEST_DYNAMO, _NEWEST_TORCHSCRIPT = 18, 20
_FIX_BRANCH = "use torch.where or torch.cond, or return torch.jit.script(model) from build()"

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
    """Export, name inputs and outputs as declared, and hold the file against the module at several sizes."""
    task = open_task(model, context)
    graph, notes = _export(task, config, context.out)
    path = write(graph, task, context.out / "model.onnx")
    arrays = [example.numpy() for example in task.examples]
    sizes = check_sizes(open_onnx(path), task.module, task.specs, arrays, context.target.threads or 1)
    return PassResult(path, {**notes, "opset": graph.opset_imports[""], "sizes_checked": sizes})


def _export(task: Task, config: ExportConfig, scratch: Path) -> tuple[ir.Model, dict[str, Any]]:
    """Choose the exporter; return the graph and the notes."""
    torch, scripted = import_torch(), _scripted(task)
    if scripted and config.exporter == "dynamo":
        raise PassError(
            "the dynamo exporter takes no scripted module", where="pass 'export'", got=type(task.module.model).__name__,
            fix="exporter: auto, or return the module itself from build()",
        )  # fmt: skip
    reason = "it was asked for"
    if config.exporter == "auto" and scripted:
        reason = "the model is a scripted module"
    elif config.exporter == "auto" and config.opset < _OLDEST_DYNAMO:
        reason = f"opset {config.opset}: the dynamo exporter starts at {_OLDEST_DYNAMO}"
    elif config.exporter != "torchscript":
        try:
            return dynamo(task, config.opset), {"exporter": "dynamo"}
        except torch.onnx.OnnxExporterError as error:
            reason = f"the dynamo exporter failed: {cause(error)}"
            if config.exporter == "dynamo":
                raise PassError(reason, where=user_line(error), fix="exporter: auto, or torchscript") from error
    opset = min(config.opset, _NEWEST_TORCHSCRIPT)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:  # large weights come as one file each
        graph = _torchscript(task, opset, Path(folder) / "traced.onnx")
    return graph, {"exporter": "torchscript", "because": reason}


def _torchscript(task: Task, opset: int, path: Path) -> ir.Model:
    torch = import_torch()
    import onnx_ir as ir

    axes = [{axis: str(spec.shape[axis]) for axis in spec.dynamic_axes} for spec in task.specs]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            module = task.module.fresh()
            if _scripted(task):
                module = torch.jit.trace(module, task.examples, check_trace=False)
            torch.onnx.export(
                module, task.examples, str(path), dynamo=False, opset_version=opset, verbose=False,
                input_names=task.neutral_inputs, output_names=task.neutral_outputs,
                dynamic_axes=dict(zip(task.neutral_inputs, axes, strict=True)),
            )  # fmt: skip
        except (torch.onnx.OnnxExporterError, RuntimeError, TypeError) as error:
            raise PassError(f"PyTorch cannot export the model: {cause(error)}", where="pass 'export'") from error
    _refuse_frozen_values(caught)
    graph = ir.load(path)
    ir.external_data.load_to_model(graph)
    _restore_unused_inputs(graph, task)
    return graph


def _restore_unused_inputs(graph: ir.Model, task: Task) -> None:
    """Put back the inputs that forward() does not use: the tracer drops them, but callers pass them."""
    import numpy as np
    import onnx_ir as ir

    for index, (name, spec) in enumerate(zip(task.neutral_inputs, task.specs, strict=True)):
        if index == len(graph.graph.inputs) or graph.graph.inputs[index].name != name:
            dtype = ir.TensorType(ir.DataType.from_numpy(np.dtype(spec.dtype)))
            graph.graph.inputs.insert(index, ir.Value(name=name, shape=ir.Shape(spec.shape), type=dtype))


def _refuse_frozen_values(caught: list[warnings.WarningMessage]) -> None:
    """Raise if the tracer turned a value that depends on the input into a constant."""
    torch = import_torch()
    inside = Path(torch.__file__).parent
    for warning in caught:
        frozen = issubclass(warning.category, torch.jit.TracerWarning) and "Converting a tensor" in str(warning.message)
        if frozen and not Path(warning.filename).is_relative_to(inside):
            raise PassError(
                "the model branches on tensor values, so it cannot be traced",
                where=f"{warning.filename}:{warning.lineno}", got=str(warning.message).split(" might ")[0],
                expected="Python control flow that does not depend on the input", fix=_FIX_BRANCH,
            )  # fmt: skip


def _scripted(task: Task) -> bool:
    return isinstance(task.module.model, import_torch().jit.ScriptModule)


PASS = Pass(
    name="export",
    version=2,
    summary="PyTorch to ONNX, with the declared names and dynamic dimensions",
    accepts=frozenset({Kind.TORCH}),
    produces=Kind.ONNX,
    config=ExportConfig,
    run=run,
    requires=Requires(extra="torch", packages=("torch", "onnxscript", "onnx-ir")),
)
