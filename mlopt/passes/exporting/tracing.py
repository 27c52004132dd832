"""A PyTorch model on its way to ONNX: traced, named, saved. What every pass that starts from PyTorch shares.

Names are given last: an output name equal to a value inside the graph makes a file that no runtime loads, so the
exporter only sees neutral names.
"""

from __future__ import annotations

import itertools
import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import ModelError, PassError
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.onnx import graph as onnx_graph
from mlopt.formats.torch.model import foreign_code, import_torch, load_module, origin, output_names
from mlopt.passes.base import Context
from mlopt.passes.exporting.examples import example_inputs
from mlopt.passes.exporting.exporter_errors import cause

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

    from mlopt.data.dataset import Dataset
    from mlopt.formats.torch.module import Flat

_LOG = logging.getLogger(__name__)
_FLOAT, _INT64 = 1, 7  # as ONNX numbers them
_EUCLIDEAN, _NO_PRODUCT = 2.0, 2  # norm and compute_mode of torch.cdist
_FUSED_ATTENTION = ("Cannot view a tensor with shape", "scaled_dot_product")


@dataclass(frozen=True)
class Task:
    """What is to be exported: a module that takes the tensors of ``specs`` in order and gives a tuple of tensors."""

    module: torch.nn.Module
    specs: tuple[TensorSpec, ...]
    examples: tuple[torch.Tensor, ...]
    outputs: tuple[str, ...]
    """Their declared names."""

    @property
    def neutral_inputs(self) -> list[str]:
        """The names of the inputs as the exporter sees them; see the module's docstring."""
        return _neutral("input", len(self.specs))

    @property
    def neutral_outputs(self) -> list[str]:
        """The names of the outputs as the exporter sees them."""
        return _neutral("output", len(self.outputs))


def open_task(model: Model, context: Context) -> Task:
    """Build the module and run it once; raises ``ModelError`` where it does not take what is declared.

    A run may leave things behind in a module, such as what it keeps for the last size: the task's is never run itself,
    and each use takes a fresh one.
    """
    names = context.outputs or tuple(spec.name for spec in model.outputs)
    return task_of(load_module(model), context.inputs or model.inputs, names, origin(model), context.samples)


def task_of(
    module: Flat, specs: tuple[TensorSpec, ...], outputs: Sequence[str], where: str, samples: Dataset | None
) -> Task:
    """Return the task of exporting a module that is at hand; ``outputs`` are declared names, or none."""
    torch = import_torch()
    from mlopt.passes.exporting.text_reads import texts

    examples = tuple(_tensor(array) for array in example_inputs(specs, samples))
    fresh = module.fresh()
    with torch.no_grad(), foreign_code("forward() fails on the declared inputs", where), texts(fresh) as read:
        count = len(fresh(*examples))
    if read:
        raise PassError(
            "forward() makes text of a tensor, which no exported graph can do", where=read[0],
            got="the text of values that depend on the input", expected="text that is only printed or logged, or none",
            fix="ask for the values with torch operators (x.isnan().any(), torch.where); or leave the text out",
        )  # fmt: skip
    return Task(module, specs, examples, output_names(outputs, count, where))


def dynamo(task: Task, opset: int) -> ir.Model:
    """Export through ``torch.export``; raises ``torch.onnx.OnnxExporterError``.

    Fused attention lays out its result in its own way on a CPU, and a view of that does not fit what the exporter
    makes of it: then once more with attention that is computed from plain operators.
    """
    torch = import_torch()
    try:
        return _dynamo(task, opset)
    except torch.onnx.OnnxExporterError as error:
        if not any(sign in str(error) for sign in _FUSED_ATTENTION):
            raise
        _LOG.debug("once more without fused attention", exc_info=error)
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel([SDPBackend.MATH]):
        return _dynamo(task, opset)


def _dynamo(task: Task, opset: int) -> ir.Model:
    torch = import_torch()
    shapes = tuple({axis: spec.shape[axis] for axis in spec.dynamic_axes} for spec in task.specs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations; what matters is checked on the result
        program = torch.onnx.export(
            task.module.fresh(), task.examples, dynamo=True, opset_version=opset, verbose=False,
            dynamic_shapes={"tensors": shapes}, input_names=task.neutral_inputs, output_names=task.neutral_outputs,
            custom_translation_table=_of_sizes() | _of_distances(),
        )  # fmt: skip
    graph: ir.Model = program.model
    return graph


def _of_sizes() -> dict[Any, Any]:
    """What models compute of a size in Python, and the exporter does not know: ``math.sqrt`` and ``round``."""
    torch = import_torch()
    import onnxscript

    op: Any = onnxscript.opset18

    def root(size: Any) -> Any:
        return op.Sqrt(op.Cast(size, to=_FLOAT))

    def rounded(size: Any, digits: None = None) -> Any:
        if digits is not None:
            raise NotImplementedError("round() of a size to a number of digits")
        return op.Cast(op.Round(size), to=_INT64)

    return {torch._sym_sqrt: root, round: rounded}


def _of_distances() -> dict[Any, Any]:
    """``torch.cdist`` from the differences, as PyTorch takes it unless it may use a matrix product."""
    torch = import_torch()
    import onnxscript

    op: Any = onnxscript.opset18

    def distances(a: Any, b: Any, p: float, mode: int | None) -> Any:
        if p == _EUCLIDEAN and mode != _NO_PRODUCT:
            raise NotImplementedError("torch.cdist by a matrix product, whose rounding differs")
        apart = op.Sub(op.Unsqueeze(a, [-2]), op.Unsqueeze(b, [-3]))
        if p == _EUCLIDEAN:
            return op.ReduceL2(apart, [-1], keepdims=0)
        if p == 1:
            return op.ReduceL1(apart, [-1], keepdims=0)
        if p == float("inf"):
            return op.ReduceMax(op.Abs(apart), [-1], keepdims=0)
        if p == 0:
            return op.ReduceSum(op.Abs(op.Sign(apart)), [-1], keepdims=0)
        power = op.CastLike(op.Constant(value_float=float(p)), a)
        return op.Pow(op.ReduceSum(op.Pow(op.Abs(apart), power), [-1], keepdims=0), op.Reciprocal(power))

    return {torch.ops.aten._cdist_forward.default: distances}


def write(graph: ir.Model, task: Task, path: Path) -> Path:
    """Give the graph its declared names, forget where it came from, save it and check the file."""
    _name(graph, [spec.name for spec in task.specs], task.outputs)
    _forget_origin(graph)
    return _save(graph, path)


def _tensor(array: Any) -> torch.Tensor:
    torch = import_torch()
    try:
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except TypeError as error:
        raise ModelError(
            "PyTorch has no such dtype", where="model.inputs", got=str(array.dtype), fix="declare the model's own dtype"
        ) from error


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
        if value.shape is not None:  # the exporter names what it does not know after the value
            value.shape = ir.Shape(re.sub(rf"\w*{neutral}", value.name, str(size.value))
                                   if isinstance(size, ir.SymbolicDim) and size.value else size
                                   for size in value.shape)  # fmt: skip


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
        raise PassError("PyTorch exported an invalid model", where="pass 'export'", got=cause(error)) from error
    return path
