"""Which layers of an ONNX file compute wrongly on x86 CPUs without VNNI: a property of its 8-bit weights alone.

There, ONNX Runtime multiplies unsigned activations by signed weights and adds two neighbouring products in 16 bits.
With activations up to 255 that overflows, in silence, as soon as two neighbouring weights add up to more than 128. So a
file made where one instruction adds in 32 bits may be wrong elsewhere; whether it is can be read off its weights. ONNX
Runtime has an exact mode (``EXACT``), which turns constant signed weights into unsigned ones when it loads the file:
slower, and right.

What saturates, and what the exact mode mends, was tried operator by operator on an emulated CPU of that kind
(``benchmarks/other_cpu.py``). Depthwise convolutions, ConvInteger, MatMulNBits, unsigned weights and products of two
activations in QLinearMatMul do not saturate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.graph import nodes, subgraphs
from mlopt.formats.onnx.save import loaded

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

EXACT: Mapping[str, str] = {"session.x64quantprecision": "1"}
"""The entry of a session that turns ONNX Runtime's exact mode on; it takes graph optimizations from ``extended`` on."""
_LARGEST_PAIR = 128
"""255 * 128 = 32640 is the most that fits into 16 bits."""
_WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "MatMulInteger": (1,),
    "DynamicQuantizeMatMul": (1,),
    "MatMulIntegerToFloat": (1,),
    "QLinearMatMul": (3,),
    "QGemm": (3,),
    "QAttention": (1,),
    "DynamicQuantizeLSTM": (1, 2),
    "QLinearConv": (3,),
    "MatMul": (1,),
    "Gemm": (1,),
    "Conv": (1,),
}
"""Of each operator that may multiply in 8 bits: which inputs are its weights."""
_ONCE_FUSED = frozenset({"MatMul", "Gemm", "Conv"})
"""They multiply in 8 bits only behind DequantizeLinear, and only where ONNX Runtime fuses the two."""
_UNBOUNDED = frozenset({"MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"})
"""They overflow with weights that are no constants as well, which the exact mode does not reach."""
_MOVING = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze"})
"""What may stand between a constant and the layer that reads it; afterwards nobody knows which codes are neighbours."""


@dataclass(frozen=True)
class Overflow:
    """The layers that may overflow 16 bits, by the names of their nodes (or of their outputs, if they have none)."""

    in_integers: tuple[str, ...] = ()
    """Their weights are constant, and they multiply integers at every level of graph optimization."""
    when_fused: tuple[str, ...] = ()
    """Their weights are constant, and they multiply integers once ONNX Runtime has fused Q/DQ pairs into them."""
    unbounded: tuple[str, ...] = ()
    """They multiply by signed integers that are no constants."""

    @property
    def layers(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.in_integers, *self.when_fused, *self.unbounded)


def worst_pair(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the largest sum of two neighbours of equal sign in each row; neighbours are 0 and 1, 2 and 3, ..."""
    import numpy as np

    even = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    pairs = even.reshape(len(rows), -1, 2)
    positive = np.maximum(pairs, 0).sum(axis=2).max(axis=1, initial=0)
    negative = np.maximum(-pairs, 0).sum(axis=2).max(axis=1, initial=0)
    return np.asarray(np.maximum(positive, negative))


def orders(weight: NDArray[Any], channel_axis: int) -> Iterator[NDArray[Any]]:
    """Yield a weight as rows, one for each output channel, in every order in which a kernel adds its products.

    ONNX Runtime lays out a convolution channel by channel, or position by position.
    """
    import numpy as np

    rows = np.moveaxis(weight, channel_axis, 0)
    yield rows.reshape(len(rows), -1)
    if rows.ndim > 2:
        yield np.moveaxis(rows, 1, -1).reshape(len(rows), -1)


def overflow(path: Path) -> Overflow:
    """Look at every layer of the file that multiplies by signed 8-bit weights; they are read one at a time.

    Raises ``ModelError`` if the file cannot be read.
    """
    graph = read_graph(path).graph
    reader = _Reader(graph, path.parent)
    found: dict[str, list[str]] = {"in_integers": [], "when_fused": [], "unbounded": []}
    for node in nodes(graph):
        if (kind := reader.kind(node)) is not None:
            found[kind].append(node.name or next(filter(None, node.output), node.op_type))
    return Overflow(**{kind: tuple(names) for kind, names in found.items()})


@dataclass(frozen=True)
class _Origin:
    """Where the codes of a weight come from."""

    name: str
    moved: bool


class _Reader:
    """Follows what a layer reads back to constants, through graphs inside others too."""

    def __init__(self, graph: onnx.GraphProto, folder: Path) -> None:
        every = list(_graphs(graph))
        self._folder = folder
        self._producers = {name: node for node in nodes(graph) for name in node.output if name}
        self._constants = {tensor.name: tensor for each in every for tensor in each.initializer}
        self._constants |= {n.output[0]: t for n in nodes(graph) if (t := _constant(n)) is not None}
        self._types: dict[str, int] = {
            v.name: v.type.tensor_type.elem_type for e in every for v in (*e.input, *e.value_info)
        }
        self._known: dict[tuple[_Origin, str], bool] = {}

    def kind(self, node: onnx.NodeProto) -> str | None:
        """Return in which list of ``Overflow`` a node belongs; None if it is right on every CPU."""
        fused = node.op_type in _ONCE_FUSED
        for index in _WEIGHTS.get(node.op_type, ()):
            origin = self._origin(node.input[index]) if index < len(node.input) else None
            if origin is not None and fused:
                origin = self._dequantized(origin)
            if origin is None or self._unsigned(origin.name):
                continue
            tensor = self._constants.get(origin.name)
            if tensor is not None and self._fits(node, origin, tensor):
                continue
            if tensor is not None or self._from_float(origin.name):
                return "when_fused" if fused else "in_integers"
            if node.op_type in _UNBOUNDED:
                return "unbounded"
        return None

    def _origin(self, name: str) -> _Origin:
        """Return the tensor behind what only moves values."""
        moved = False
        while (producer := self._producers.get(name)) is not None and producer.op_type in {*_MOVING, "Identity"}:
            moved = moved or producer.op_type in _MOVING
            name = producer.input[0]
        return _Origin(name, moved)

    def _dequantized(self, origin: _Origin) -> _Origin | None:
        producer = self._producers.get(origin.name)
        if producer is None or producer.op_type != "DequantizeLinear":
            return None
        codes = self._origin(producer.input[0])
        return _Origin(codes.name, origin.moved or codes.moved)

    def _unsigned(self, name: str) -> bool:
        """Whether a tensor that is computed, or given, is known to hold no INT8."""
        from onnx import TensorProto

        if name in self._constants:
            return bool(self._constants[name].data_type != TensorProto.INT8)
        producer = self._producers.get(name)
        if producer is None or producer.op_type == "DynamicQuantizeLinear":
            return producer is not None or bool(self._types.get(name) == TensorProto.UINT8)
        if producer.op_type != "QuantizeLinear":
            return False
        zero = self._constants.get(producer.input[2]) if len(producer.input) > 2 else None
        stated = next((attribute.i for attribute in producer.attribute if attribute.name == "output_dtype"), 0)
        return bool((stated if zero is None else zero.data_type) != TensorProto.INT8)  # UINT8 is the default

    def _from_float(self, name: str) -> bool:
        """Whether the codes are made from a constant when the model is loaded."""
        producer = self._producers.get(name)
        quantized = producer is not None and producer.op_type == "QuantizeLinear"
        return producer is not None and quantized and self._origin(producer.input[0]).name in self._constants

    def _fits(self, node: onnx.NodeProto, origin: _Origin, tensor: onnx.TensorProto) -> bool:
        """Whether no two products of this weight overflow; weights that several layers share are read once."""
        convolution = node.op_type in {"Conv", "QLinearConv"}
        if convolution and _is_depthwise(node, tensor.dims):
            return True
        layout = "conv" if convolution else "rows" if _transposed(node) else "columns"
        key = (origin, layout)
        if key not in self._known:
            self._known[key] = _pairs_fit(tensor, layout, self._folder, moved=origin.moved)
        return self._known[key]


def _pairs_fit(tensor: onnx.TensorProto, layout: str, folder: Path, *, moved: bool) -> bool:
    import numpy as np
    from onnx import numpy_helper

    codes = numpy_helper.to_array(loaded(tensor, folder)).astype(np.int16)
    if moved or codes.ndim < 2:
        return bool(2 * np.abs(codes).max(initial=0) <= _LARGEST_PAIR)
    rows = codes if layout == "rows" else np.moveaxis(codes, -2, -1)
    every = orders(codes, 0) if layout == "conv" else [rows.reshape(-1, rows.shape[-1])]
    return all(bool((worst_pair(order) <= _LARGEST_PAIR).all()) for order in every)


def _transposed(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def _is_depthwise(node: onnx.NodeProto, shape: Sequence[int]) -> bool:
    """Whether a convolution gives each input channel one kernel: ONNX Runtime's kernel for these adds in 32 bits."""
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    return len(shape) > 1 and shape[1] == 1 and groups == shape[0] > 1


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    values = (attribute.t for attribute in node.attribute if attribute.name == "value")
    return next(values, None) if node.op_type == "Constant" else None


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from _graphs(inner)
