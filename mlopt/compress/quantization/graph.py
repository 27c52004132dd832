"""A graph before its precision changes: what is in it, and a copy in the form that the rewriting tools expect.

The tools address nodes by name, look for weights among initializers, and write scratch files beside the model, so they
always work on a prepared copy.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.compress.quantization.prepared import RECURRENT, WEIGHTED, WorkingCopy, first_output
from mlopt.compress.quantization.scheme import Work
from mlopt.compress.quantization.type_inference import add_missing_types
from mlopt.compress.quantization.weights import plain_gemms
from mlopt.core.errors import PassError
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.graph import (
    EXTERNAL_DATA_ABOVE,
    WORKED_ON_OUTSIDE_ABOVE,
    default_opset,
    interface_of,
    keep_interface,
    node_names,
    strip_initializer_inputs,
    subgraphs,
)
from mlopt.formats.onnx.names import isolate, restore
from mlopt.formats.onnx.save import load_tensors, save_model, without_weights

if TYPE_CHECKING:
    import onnx

_OTHER_FLOATS = {10: "float16", 11: "float64", 16: "bfloat16"}
"""By their numbers in ONNX."""
_QUANTIZED = frozenset(
    {
        "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "MatMulNBits",
        "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QGemm", "QAttention", "MatMulBnb4", "GatherBlockQuantized",
        "DynamicQuantizeLSTM",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Survey:
    """What a graph holds, as far as precision is concerned. Bodies of If, Loop and Scan are not looked into."""

    weighted: tuple[str, ...]
    """The first outputs of the Conv, MatMul, Gemm and LSTM nodes that read constant float32 weights."""
    work: Work
    quantized: tuple[str, ...]
    """The kinds of nodes that show the graph to be quantized already."""
    control_flow: tuple[str, ...]
    floats: int
    """How many float32 tensors are constants of the graph."""
    other_floats: tuple[str, ...] = ()
    """The floating-point types other than float32 in which weights of Conv, MatMul, Gemm and LSTM are stored."""

    @property
    def remedy(self) -> str:
        """What may be done about it, as the end of a sentence that says that there is nothing to do."""
        if not self.other_floats and "If" in self.control_flow:
            return "; inside If nothing is looked into: `specialize` leaves one branch, if fixed inputs or sizes decide"
        if not self.other_floats:
            return ""
        return (
            f"; there are weights in {' and '.join(self.other_floats)}: give the model in float32 "
            "(of PyTorch: `model.float()` before the export)"
        )


def survey(proto: onnx.ModelProto) -> Survey:
    """Look at a graph; its external tensors need not be loaded."""
    import onnx

    shapes = _shapes(onnx.shape_inference.infer_shapes(without_weights(proto)).graph)  # which it would hold four times
    types = {name: (dims, elem_type) for name, dims, elem_type in _constants(proto.graph)}
    constants = {name: dims for name, (dims, elem_type) in types.items() if elem_type == onnx.TensorProto.FLOAT}
    others = {name: _OTHER_FLOATS[kind] for name, (_, kind) in types.items() if kind in _OTHER_FLOATS}
    other_floats: set[str] = set()
    weighted: list[str] = []
    macs: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    for node in proto.graph.node:
        if node.op_type == "Cast" and node.input[0] in others:
            others[node.output[0]] = others[node.input[0]]
        read = node.input[1:3] if node.op_type == RECURRENT else node.input[1:2]
        if node.op_type not in (*WEIGHTED, RECURRENT) or node.domain not in {"", "ai.onnx"} or not read:
            continue
        other_floats.update(others[name] for name in read if name in others)
        if constants.keys() >= set(read) and node.input[0] not in constants:  # else it is a constant itself
            kind = {"Conv": "conv", RECURRENT: "recurrent"}.get(node.op_type, "matmul")
            output = first_output(node)
            weighted.append(output)
            nodes[kind] += 1
            macs[kind] += prod(constants[read[0]]) * _positions(kind, shapes.get(output, ()))
    return Survey(
        weighted=tuple(weighted),
        work=Work(macs["conv"], macs["matmul"], nodes["conv"], nodes["matmul"], nodes["recurrent"]),
        quantized=tuple(sorted({n.op_type for n in proto.graph.node if _is_quantized(n.op_type)})),
        control_flow=tuple(sorted({n.op_type for n in proto.graph.node if any(True for _ in subgraphs(n))})),
        floats=len(constants),
        other_floats=tuple(sorted(other_floats)),
    )


def prepare(model: Model, folder: Path, *, minimum_opset: int = 1) -> WorkingCopy:
    """Write a copy of ``model`` into ``folder``.

    The opset is raised to ``minimum_opset`` where that is possible; raises ``ValueError``, with the converter's words,
    where it is not.
    """
    import onnx

    proto = read_graph(model.path)
    own = default_opset(proto)
    if own < minimum_opset:
        load_tensors(proto, model.path.parent)  # the converter would lose what is not there
    told = interface_of(proto)
    _hoist_constants(proto.graph)
    _drop_missing(proto.graph)
    strip_initializer_inputs(proto)
    _name_nodes(proto.graph)  # before anything is added, so that names do not depend on what that is
    names = isolate(proto)
    if own < minimum_opset:
        proto = _raise_opset(proto, minimum_opset)
        _hoist_constants(proto.graph)
        _name_nodes(proto.graph)
    plain_gemms(proto.graph, model.path.parent)
    restore(proto, names)
    external = model.size_bytes > EXTERNAL_DATA_ABOVE
    plain, inferred = folder / "plain.onnx", folder / "prepared.onnx"
    outside = external or model.size_bytes > WORKED_ON_OUTSIDE_ABOVE
    save_model(proto, plain, external=outside, source=model.path.parent)
    onnx.shape_inference.infer_shapes_path(plain, inferred)
    add_missing_types(inferred)
    _declare_as_before(inferred, told)
    return WorkingCopy(inferred, external, default_opset(proto), own if own < minimum_opset else None)


def _declare_as_before(path: Path, told: onnx.ModelProto) -> None:
    """Take back what the inference of shapes made of the declared inputs and outputs, and a converter of the rest."""
    proto = read_graph(path)
    keep_interface(proto, told)
    path.write_bytes(proto.SerializeToString())


def matching(graph: onnx.GraphProto, patterns: Sequence[str], *, where: str) -> dict[str, str]:
    """Return the nodes that a recipe excludes, and by which pattern.

    Raises ``PassError`` for a pattern that matches none: a typing error would otherwise go unnoticed.
    """
    excluded: dict[str, str] = {}
    names = [node.name for node in graph.node]
    for pattern in patterns:
        matched = [pattern] if pattern in names else fnmatch.filter(names, pattern)
        if not matched:
            close = difflib.get_close_matches(pattern, names, n=5, cutoff=0.0)
            raise PassError(
                "no node has such a name", where=where, got=pattern,
                expected=f"a name or pattern, such as {', '.join(close)}", fix="see `mlopt inspect`",
            )  # fmt: skip
        excluded |= dict.fromkeys(matched, f"excluded by '{pattern}'")
    return excluded


def _is_quantized(op_type: str) -> bool:
    return op_type in _QUANTIZED or op_type.startswith("QLinear")


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Yield name, dimensions and type of every initializer and Constant node."""
    for tensor in graph.initializer:
        yield tensor.name, tuple(tensor.dims), tensor.data_type
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield node.output[0], tuple(attribute.t.dims), attribute.t.data_type


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Return the inferred shapes, 0 for an unknown or dynamic dimension."""
    values = (*graph.value_info, *graph.output)
    return {value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in values}


def _positions(kind: str, shape: tuple[int, ...]) -> int:
    """Return how often the weight is applied for one output: known spatial or row dimensions, multiplied."""
    dims = shape[2:] if kind == "conv" else shape[1:-1]
    return prod(dim for dim in dims if dim > 0)


def _hoist_constants(graph: onnx.GraphProto) -> None:
    """Turn the tensors of Constant nodes into initializers, where the tools look for weights."""
    kept = []
    for node in graph.node:
        tensors = [a.t for a in node.attribute if a.HasField("t")] if node.op_type == "Constant" else []
        if tensors:
            tensor = graph.initializer.add()
            tensor.CopyFrom(tensors[0])
            tensor.name = node.output[0]
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _drop_missing(graph: onnx.GraphProto) -> None:
    """Leave out the empty names where nothing does as well: the tools take one for that of a tensor."""
    for node in graph.node:
        for names in (node.input, node.output):
            while names and not names[-1]:
                del names[-1]
    named = [value for value in graph.value_info if value.name]
    del graph.value_info[:]
    graph.value_info.extend(named)


def _raise_opset(proto: onnx.ModelProto, version: int) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import EncodeError

    if proto.functions:
        raise ValueError("onnx's converter loses a model's own functions")
    inputs, sparse = [*proto.graph.input], [*proto.graph.sparse_initializer]
    del proto.graph.sparse_initializer[:]  # the converter knows none: to it, they are inputs
    proto.graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.values.name, tensor.values.data_type, tensor.dims)
        for tensor in sparse
    )
    try:
        raised = onnx.version_converter.convert_version(proto, version)
    except (onnx.version_converter.ConvertError, RuntimeError, EncodeError) as error:  # EncodeError: above 2 GB
        raise ValueError(str(error).strip().splitlines()[0]) from error
    del raised.graph.input[:]
    raised.graph.input.extend(inputs)
    raised.graph.sparse_initializer.extend(sparse)
    raised.ir_version = max(raised.ir_version, 7)
    return raised


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Give every node a name of its own."""
    for node, name in zip(graph.node, node_names(graph), strict=True):
        node.name = name
