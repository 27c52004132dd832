"""What is in a model: its interface, operators, weights and arithmetic, without loading or running it.

Of a kind without a graph view, the interface and the files are all there is to see.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.formats import table as formats
from mlopt.formats.model import Kind, Model, TensorSpec
from mlopt.formats.onnx.graph import default_opset, node_names, nodes, operators, subgraphs
from mlopt.formats.onnx.macs import UnknownError, count_macs, input_shapes
from mlopt.formats.onnx.trees import Trees, learnt, trees_in
from mlopt.formats.onnx.two_of_four import two_of_four

if TYPE_CHECKING:
    import onnx

_COMPUTING = frozenset(
    {
        "Conv", "ConvTranspose", "FusedConv", "FusedMatMul", "Gemm", "MatMul", "FusedGemm", "Attention", "LSTM", "GRU",
        "RNN",
    }
)  # fmt: skip
_IN_INTEGERS = ("QLinearConv", "QLinearMatMul", "QGemm", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul",
                "DynamicQuantizeLSTM")  # fmt: skip
_WEIGHT_ONLY = "MatMulNBits"
_QUANTIZING = frozenset({"QuantizeLinear", "DynamicQuantizeLinear"})
_WRITES_INTEGERS = ("QLinear", "QGemm", "QAttention")


@dataclass(frozen=True)
class Precision:
    """In what the convolutions, matrix products and recurrent layers compute, by the names of their nodes."""

    integers: tuple[str, ...]
    weight_only: tuple[str, ...]
    """Their weights are integers, and they compute in floating point."""
    floats: tuple[str, ...]
    activations: int
    """Tensors that are quantized while the model runs."""

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.integers) + len(self.weight_only) + len(self.floats)


@dataclass(frozen=True)
class Deployment:
    """What an artifact is run in, by its manifest, which nothing here verifies."""

    runtime: str
    options: Mapping[str, Any]
    packages: Mapping[str, str]
    """What the runtime takes, with the versions with which it was measured."""


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
    """Values in all initializers, and those that operators of ``ai.onnx.ml`` have as attributes."""
    values: dict[str, int]
    """The same by dtype; weights of a few bits count one by one, though several share a byte."""
    weights: dict[str, int]
    """Their bytes, by dtype."""
    precision: Precision
    two_of_four: dict[str, bool]
    """For the nodes whose weight can have the pattern 2:4 (four inputs, two zeros), whether it has it."""
    macs: int | None
    """Multiplications of one inference with inputs of ``macs_shapes``; null if they cannot be counted."""
    macs_shapes: dict[str, tuple[int, ...]]
    """Dynamic dimensions are 1 unless others were asked for."""
    macs_reason: str | None
    """Why they cannot be counted."""
    trees: Trees | None = None
    """Of an ensemble of trees, which compares instead of multiplying."""
    deployed: Deployment | None = None
    """Of an artifact: a file alone says nothing of it."""


@dataclass(frozen=True)
class Outline:
    """One model of a kind that has no graph view."""

    path: str
    kind: Kind
    digest: str
    size_bytes: int
    external_files: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    lacks: str
    """What cannot be told, and why."""
    deployed: Deployment | None = None


def inspect_model(path: Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Inspection | Outline:
    """Describe a model file, or the model of an artifact, with inputs of these ``shapes``.

    Raises ``ModelError`` for anything else, ``UserError`` for a shape that does not fit.
    """
    model = model_at(path)
    if not formats.has_graph(model.kind):
        lacks = f"kind {model.kind} has no graph view, so its operators, weights and MACs are not known"
        return Outline(
            path=str(model.path), kind=model.kind, digest=model.digest, size_bytes=model.size_bytes,
            external_files=_beside(model), inputs=model.inputs, outputs=model.outputs, lacks=lacks,
            deployed=_deployed(path),
        )  # fmt: skip
    proto = formats.graph_of(model)
    sizes, values, packed = Counter[str](), Counter[str](), dict(_packed(proto.graph))
    for tensor in _weights(proto.graph):
        dtype = _dtype(tensor.data_type)
        sizes[dtype] += _bytes(tensor)
        kind, count = packed.get(tensor.name, (dtype, math.prod(tensor.dims)))
        values[kind] += count
    for dtype, count in learnt(proto.graph):
        values[dtype] += count
        sizes[dtype] += count * _width(dtype)
    whole = input_shapes(model.inputs, shapes or {})
    macs, reason = _macs(proto, model.inputs, whole)
    return Inspection(
        path=str(model.path),
        digest=model.digest,
        size_bytes=model.size_bytes,
        external_files=_beside(model),
        producer=f"{proto.producer_name} {proto.producer_version}".strip(),
        ir_version=proto.ir_version,
        opset=default_opset(proto),
        domains={entry.domain: entry.version for entry in proto.opset_import if entry.domain not in {"", "ai.onnx"}},
        inputs=model.inputs,
        outputs=model.outputs,
        operators=operators(proto.graph),
        parameters=values.total(),
        values=dict(values.most_common()),
        weights=dict(sizes.most_common()),
        precision=_precision(proto.graph),
        two_of_four=two_of_four(proto.graph, model.path.parent),
        macs=macs,
        macs_shapes=whole,
        macs_reason=reason,
        trees=trees_in(proto.graph),
        deployed=_deployed(path),
    )


def _deployed(path: Path) -> Deployment | None:
    if not path.is_dir():
        return None
    from mlopt.artifact.given import given_manifest

    manifest = given_manifest(path)
    return Deployment(manifest.runtime, manifest.options, manifest.runtime_packages)


def _beside(model: Model) -> tuple[str, ...]:
    return tuple(file.relative_to(model.path.parent).as_posix() for file in model.files if file != model.path)


def _weights(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the constant tensors: initializers and Constant nodes, which some exporters use, in subgraphs too."""
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant":
            yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
        for body in subgraphs(node):
            yield from _weights(body)


def shapes_of(path: Path, data: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes in which the model at ``path`` takes the first sample of ``data``; raises ``DataError``."""
    from mlopt.data.feeds import batches
    from mlopt.data.reading import read
    from mlopt.data.source import DataSource

    model = model_at(path)
    samples = read(DataSource(source=str(data.resolve()), limit=1), Path(), model.inputs, model.defaults)
    feeds, _ = next(batches(samples, model.inputs, 1))
    return {name: array.shape for name, array in feeds.items()}


def model_at(path: Path) -> Model:
    """Open a model file, or the model of an artifact; raises ``ModelError`` for anything else."""
    if not path.is_dir():
        return formats.given(path)
    from mlopt.artifact.given import given_manifest

    entry = given_manifest(path).model
    return formats.format_of(entry.kind).open(path / entry.file)


def _packed(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield the weights of which several share a byte, with their dtype and number."""
    for node in nodes(graph):
        size = {attribute.name: attribute.i for attribute in node.attribute}
        if node.op_type == _WEIGHT_ONLY and {"K", "N"} <= size.keys() and len(node.input) > 1:
            yield node.input[1], (f"uint{size.get('bits', 4)}", size["K"] * size["N"])


def _precision(graph: onnx.GraphProto) -> Precision:
    """Sort the computing nodes: between DequantizeLinear nodes, onnxruntime computes in integers."""
    every = list(nodes(graph))
    named = {tuple(node.output): name for node, name in zip(graph.node, node_names(graph), strict=True)}
    dequantized = {name for node in every if node.op_type == "DequantizeLinear" for name in node.output}
    constants = {tensor.name for tensor in _weights(graph)}
    found: dict[str, list[str]] = {"integers": [], "weight_only": [], "floats": []}
    for node in every:
        if node.op_type.startswith(_IN_INTEGERS):
            kind = "integers"
        elif node.op_type == _WEIGHT_ONLY:
            kind = "weight_only"
        elif node.op_type in _COMPUTING:
            wrapped = [name in dequantized for name in node.input[:2]]
            kind = "integers" if wrapped == [True, True] else "weight_only" if wrapped[1:] == [True] else "floats"
        else:
            continue
        found[kind].append(node.name or named.get(tuple(node.output), ", ".join(node.output)))
    read = {name for node in every if node.op_type in _QUANTIZING for name in node.input[:1]}
    written = {name for node in every if node.op_type.startswith(_WRITES_INTEGERS) for name in node.output[:1]}
    names = {kind: tuple(several) for kind, several in found.items()}
    return Precision(names["integers"], names["weight_only"], names["floats"], len((read | written) - constants))


def _macs(
    proto: onnx.ModelProto, inputs: tuple[TensorSpec, ...], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[int | None, str | None]:
    try:
        return count_macs(proto, inputs, shapes), None
    except UnknownError as error:
        return None, str(error)


def _width(dtype: str) -> int:
    import numpy as np

    return np.dtype(dtype).itemsize


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
