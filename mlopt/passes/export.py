"""PyTorch to ONNX, with the names, dynamic dimensions and results that were declared, or one clear error.

Cases: a module, a scripted module and a ``torch.export`` program; dynamic dimensions by name; weights above 2 GB
(external data). ``auto`` tries ``torch.export`` first, and TorchScript where that fails; the notes say which it was.

Limits: Python that branches on tensor values cannot be traced. The TorchScript fallback would keep one branch in
silence, so its tracer's warnings are errors here. Scripted modules keep their control flow. Python that branches on
sizes is traced for some sizes only; ``traced_sizes`` finds that out.

Names are given last: an output name equal to a value inside the graph makes a file that no runtime loads, so the
exporter only sees neutral names.
"""

from __future__ import annotations

import itertools
import re
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from mlopt import onnx_graph
from mlopt.errors import ModelError, PassError
from mlopt.model import Kind, Model, TensorSpec
from mlopt.onnx_file import open_onnx
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Requires
from mlopt.passes.traced_sizes import check_sizes, example_inputs
from mlopt.torch_source import foreign_code, import_torch, load_module, origin, output_names

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

    from mlopt.torch_module import Flat

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


@dataclass(frozen=True)
class _Task:
    """What is to be exported. The exporter sees neutral names only; see the module's docstring."""

    module: Flat
    specs: tuple[TensorSpec, ...]
    examples: tuple[torch.Tensor, ...]
    count: int
    """The number of outputs."""

    @property
    def scripted(self) -> bool:
        return isinstance(self.module.model, import_torch().jit.ScriptModule)

    @property
    def inputs(self) -> list[str]:
        return _neutral("input", len(self.specs))

    @property
    def outputs(self) -> list[str]:
        return _neutral("output", self.count)


def run(model: Model, config: ExportConfig, context: Context) -> PassResult:
    """Export, name inputs and outputs as declared, and hold the file against the module at several sizes."""
    torch = import_torch()
    specs = context.inputs or model.inputs
    module = load_module(model)
    arrays = example_inputs(specs, context.samples)
    examples = tuple(_tensor(array) for array in arrays)
    with torch.inference_mode(), foreign_code("forward() fails on the declared inputs", origin(model)):
        count = len(module(*examples))
    outputs = output_names(context.outputs or [spec.name for spec in model.outputs], count, origin(model))
    graph, notes = _export(_Task(module, specs, examples, count), config, context.out)
    _name(graph, [spec.name for spec in specs], outputs)
    _forget_origin(graph)
    path = _save(graph, context.out / "model.onnx")
    sizes = check_sizes(open_onnx(path), module, specs, arrays, context.target.threads or 1)
    return PassResult(path, {**notes, "opset": graph.opset_imports[""], "sizes_checked": sizes})


def _tensor(array: Any) -> torch.Tensor:
    torch = import_torch()
    try:
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except TypeError as error:
        raise ModelError(
            "PyTorch has no such dtype", where="model.inputs", got=str(array.dtype), fix="declare the model's own dtype"
        ) from error


def _export(task: _Task, config: ExportConfig, scratch: Path) -> tuple[ir.Model, dict[str, Any]]:
    """Choose the exporter; return the graph and the notes."""
    torch = import_torch()
    if task.scripted and config.exporter == "dynamo":
        raise PassError(
            "the dynamo exporter takes no scripted module", where="pass 'export'", got=type(task.module.model).__name__,
            fix="exporter: auto, or return the module itself from build()",
        )  # fmt: skip
    reason = "it was asked for"
    if config.exporter == "auto" and task.scripted:
        reason = "the model is a scripted module"
    elif config.exporter == "auto" and config.opset < _OLDEST_DYNAMO:
        reason = f"opset {config.opset}: the dynamo exporter starts at {_OLDEST_DYNAMO}"
    elif config.exporter != "torchscript":
        try:
            return _dynamo(task, config.opset), {"exporter": "dynamo"}
        except torch.onnx.OnnxExporterError as error:
            reason = f"the dynamo exporter failed: {_cause(error)}"
            if config.exporter == "dynamo":
                raise PassError(reason, where=_user_line(error), fix="exporter: auto, or torchscript") from error
    opset = min(config.opset, _NEWEST_TORCHSCRIPT)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:  # large weights come as one file each
        graph = _torchscript(task, opset, Path(folder) / "traced.onnx")
    return graph, {"exporter": "torchscript", "because": reason}


def _dynamo(task: _Task, opset: int) -> ir.Model:
    torch = import_torch()
    shapes = tuple({axis: spec.shape[axis] for axis in spec.dynamic_axes} for spec in task.specs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations; what matters is checked on the result
        program = torch.onnx.export(
            task.module, task.examples, dynamo=True, opset_version=opset, verbose=False,
            dynamic_shapes={"tensors": shapes}, input_names=task.inputs, output_names=task.outputs,
        )  # fmt: skip
    graph: ir.Model = program.model
    return graph


def _torchscript(task: _Task, opset: int, path: Path) -> ir.Model:
    torch = import_torch()
    import onnx_ir as ir

    axes = [{axis: str(spec.shape[axis]) for axis in spec.dynamic_axes} for spec in task.specs]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            module = torch.jit.trace(task.module, task.examples, check_trace=False) if task.scripted else task.module
            torch.onnx.export(
                module, task.examples, str(path), dynamo=False, opset_version=opset, verbose=False,
                input_names=task.inputs, output_names=task.outputs,
                dynamic_axes=dict(zip(task.inputs, axes, strict=True)),
            )  # fmt: skip
        except (torch.onnx.OnnxExporterError, RuntimeError, TypeError) as error:
            raise PassError(f"PyTorch cannot export the model: {_cause(error)}", where="pass 'export'") from error
    _refuse_frozen_values(caught)
    graph = ir.load(path)
    ir.external_data.load_to_model(graph)
    _restore_unused_inputs(graph, task)
    return graph


def _restore_unused_inputs(graph: ir.Model, task: _Task) -> None:
    """Put back the inputs that forward() does not use: the tracer drops them, but callers pass them."""
    import numpy as np
    import onnx_ir as ir

    for index, (name, spec) in enumerate(zip(task.inputs, task.specs, strict=True)):
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


def _cause(error: BaseException) -> str:
    """Return the first line of the innermost exception: exporters wrap the cause in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def _user_line(error: BaseException) -> str:
    """Return ``file:line`` of the user's code as the exporter's message quotes it."""
    frames = re.findall(r'File "([^"]+)", line (\d+), in', str(error))
    own = [f"{file}:{line}" for file, line in frames if "site-packages" not in file and Path(file).is_file()]
    return own[-1] if own else "pass 'export'"


def _neutral(kind: str, count: int) -> list[str]:
    return [f"mlopt_{kind}_{index}" for index in range(count)]


def _name(graph: ir.Model, inputs: list[str], outputs: tuple[str, ...]) -> None:
    """Give inputs and outputs their declared names; a value inside that has one of them gives way."""
    import onnx_ir as ir

    interface = {value.name: value for value in (*graph.graph.inputs, *graph.graph.outputs)}
    declared = dict(zip(_neutral("input", len(inputs)), inputs, strict=True))
    declared |= zip(_neutral("output", len(outputs)), outputs, strict=True)
    inside = [value for node in ir.traversal.RecursiveGraphIterator(graph.graph) for value in node.outputs]
    inside += graph.graph.initializers.values()
    inner = [value for value in inside if value.name not in declared]
    taken = {str(value.name) for value in inner} | set(declared.values())
    for value in inner:
        wanted = str(value.name).removeprefix("model.") if value.is_initializer() else str(value.name)
        if wanted in declared.values() or (wanted != value.name and wanted in taken):
            wanted = next(f"{wanted}_{n}" for n in itertools.count(1) if f"{wanted}_{n}" not in taken)
        value.name = wanted
        taken.add(wanted)
    for neutral, value in interface.items():
        value.name = declared[str(neutral)]


def _forget_origin(graph: ir.Model) -> None:
    """Drop stack traces, paths and documentation: the same model gives the same bytes wherever it is exported."""
    import onnx_ir as ir
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    ClearMetadataAndDocStringPass()(graph)
    graph.metadata_props.clear()
    values = [*graph.graph.inputs, *graph.graph.initializers.values()]
    values += [value for node in ir.traversal.RecursiveGraphIterator(graph.graph) for value in node.outputs]
    for value in values:
        value.metadata_props.clear()


def _save(graph: ir.Model, path: Path) -> Path:
    import onnx
    import onnx_ir as ir

    weights = sum(
        value.const_value.nbytes for value in graph.graph.initializers.values() if value.const_value is not None
    )
    ir.save(graph, path, external_data=f"{path.name}.data" if weights > onnx_graph.EXTERNAL_DATA_ABOVE else None)
    try:
        onnx.checker.check_model(path)
    except onnx.checker.ValidationError as error:
        raise PassError("PyTorch exported an invalid model", where="pass 'export'", got=_cause(error)) from error
    return path


PASS = Pass(
    name="export",
    version=1,
    summary="PyTorch to ONNX, with the declared names and dynamic dimensions",
    accepts=frozenset({Kind.TORCH}),
    produces=Kind.ONNX,
    config=ExportConfig,
    run=run,
    requires=Requires(extra="torch", packages=("torch", "onnxscript", "onnx-ir")),
)
