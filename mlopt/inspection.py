"""What is in an ONNX file: its interface, operators, weights and arithmetic, without loading or running it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.errors import ModelError
from mlopt.model import Model, TensorSpec
from mlopt.onnx_file import open_onnx, read_graph
from mlopt.onnx_graph import default_opset, nodes, operators, subgraphs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import onnx

_COMPUTING = frozenset(
    {"Conv", "ConvTranspose", "FusedConv", "FusedMatMul", "Gemm", "MatMul", "FusedGemm", "Attention"}
)
_QUANTIZED = ("QLinearConv", "QLinearMatMul", "QGemm", "MatMulInteger", "ConvInteger", "DynamicQuantize", "MatMulNBits")


@dataclass(frozen=True)
class Inspection:
    """One ONNX model, described."""

    path: str
    digest: str
    size_bytes: int
    external_files: tuple[str, ...]
    producer: str
    ir_version: int
    opset: int
    domains: dict[str, int]
    """Operator sets besides ONNX's own, with their versions: the file needs a runtime that knows them."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: dict[str, int]
    parameters: int
    """Values in all initializers."""
    weights: dict[str, int]
    """Bytes of initializers, by dtype."""
    quantized: tuple[int, int]
    """How many of the convolutions and matrix products compute on quantized values, and how many there are."""
    macs: int | None
    """Multiplications of one inference where every dynamic dimension is 1; null if a shape cannot be inferred."""


def inspect_model(path: Path) -> Inspection:
    """Describe an ``.onnx`` file, or the model of an artifact; raises ``ModelError`` for anything else."""
    model = open_onnx(_onnx_file(path))
    proto = read_graph(model.path)
    sizes = Counter[str]()
    for tensor in _weights(proto.graph):
        sizes[_dtype(tensor.data_type)] += _bytes(tensor)
    return Inspection(
        path=str(model.path),
        digest=model.digest,
        size_bytes=model.size_bytes,
        external_files=tuple(file.relative_to(model.path.parent).as_posix() for file in model.files[1:]),
        producer=f"{proto.producer_name} {proto.producer_version}".strip(),
        ir_version=proto.ir_version,
        opset=default_opset(proto),
        domains={entry.domain: entry.version for entry in proto.opset_import if entry.domain not in {"", "ai.onnx"}},
        inputs=model.inputs,
        outputs=model.outputs,
        operators=operators(proto.graph),
        parameters=sum(math.prod(tensor.dims) for tensor in _weights(proto.graph)),
        weights=dict(sizes.most_common()),
        quantized=_quantized(proto.graph),
        macs=_macs(proto, model),
    )


def _weights(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the constant tensors: initializers and Constant nodes, which some exporters use, in subgraphs too."""
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant":
            yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
        for body in subgraphs(node):
            yield from _weights(body)


def _onnx_file(path: Path) -> Path:
    if path.is_dir():
        from mlopt.artifact.layout import read_manifest

        path = path / read_manifest(path).model.file
    if path.is_file() and path.suffix in {".pt2", ".pt", ".pth", ".yaml", ".yml"}:
        raise ModelError(
            "inspect reads ONNX models", where=str(path), got=f"a {path.suffix} file",
            expected="an .onnx file or an artifact", fix="mlopt optimize RECIPE exports a PyTorch model",
        )  # fmt: skip
    return path


def _quantized(graph: onnx.GraphProto) -> tuple[int, int]:
    dequantized = {name for node in nodes(graph) if node.op_type == "DequantizeLinear" for name in node.output}
    native = sum(node.op_type.startswith(_QUANTIZED) for node in nodes(graph))
    computing = [node for node in nodes(graph) if node.op_type in _COMPUTING]
    wrapped = sum(set(node.input[:2]) <= dequantized for node in computing)
    return native + wrapped, native + len(computing)


def _macs(proto: onnx.ModelProto, model: Model) -> int | None:
    """Infer all shapes with dynamic dimensions set to 1, and add up what convolutions and products multiply."""
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(proto)
    dynamic = {spec.name for spec in model.inputs}
    for value in fixed.graph.input:
        for dim in value.type.tensor_type.shape.dim if value.name in dynamic else ():
            if not dim.HasField("dim_value"):
                dim.dim_value = 1
    for value in (*fixed.graph.value_info, *fixed.graph.output):
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError):  # ValueError: a tensor of a type that ONNX does not know
        return None
    shapes = dict(_shapes(inferred.graph))
    counts = [_node_macs(node, shapes) for node in inferred.graph.node]
    return None if None in counts else sum(count for count in counts if count is not None)


def _shapes(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    for tensor in graph.initializer:
        yield tensor.name, tuple(tensor.dims)
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            yield value.name, tuple(dim.dim_value for dim in dims)


def _node_macs(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Return 0 for other operators, None where a shape is not known."""
    if node.op_type not in {"Conv", "MatMul", "Gemm", "QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger"}:
        return 0
    weight = 3 if node.op_type in {"QLinearConv", "QLinearMatMul"} else 1
    if len(node.input) <= weight or not node.output:
        return None
    left, right, output = (shapes.get(name) for name in (node.input[0], node.input[weight], node.output[0]))
    if not left or right is None or output is None:
        return None
    if "Conv" in node.op_type:
        return math.prod(output) * math.prod(right[1:])
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(output) * int(left[0 if transposed else -1])


def _dtype(data_type: int) -> str:
    import onnx

    names = {number: name.lower() for name, number in onnx.TensorProto.DataType.items()}
    name: str = names.get(data_type, "undefined")
    return {"float": "float32", "double": "float64"}.get(name, name)


def _bytes(tensor: onnx.TensorProto) -> int:
    import onnx

    if tensor.data_type == onnx.TensorProto.STRING:
        return sum(len(value) for value in tensor.string_data)
    size: int = math.prod(tensor.dims)
    if "int4" in (dtype := _dtype(tensor.data_type)):
        return (size + 1) // 2
    if dtype == "undefined":
        return 0
    width: int = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return size * width
