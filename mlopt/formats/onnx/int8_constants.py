"""One INT8 constant, one reader: what ONNX Runtime's exact mode can load (see ``mlopt.formats.onnx.int8``).

That mode makes an unsigned constant of a signed one for each layer that reads it, under a name made from the constant's
own: of the second layer it says "Attempt to replace the existing tensor". And where scales per channel come without a
zero point, it makes one of a single value, which does not fit them when the model runs. Both are mended in the graph
that it gets. Zero points are small, so files are written without shared ones; shared weights cost their size twice, so
they are copied only in memory, and only where the exact mode is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.graph import strip_initializer_inputs, subgraphs
from mlopt.formats.onnx.names import fresh, value_names

if TYPE_CHECKING:
    import onnx

_ZERO_POINTS: Mapping[str, tuple[int, ...]] = {
    "DequantizeLinear": (2,),
    "MatMulInteger": (3,),
    "DynamicQuantizeMatMul": (3,),
    "MatMulIntegerToFloat": (5,),
    "QLinearMatMul": (5,),
    "QLinearConv": (5,),
    "QGemm": (5,),
    "QAttention": (7,),
    "DynamicQuantizeLSTM": (9, 11),
}
"""Which inputs are the zero points of weights."""
_WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "DequantizeLinear": (0,),
    "MatMulInteger": (1,),
    "DynamicQuantizeMatMul": (1,),
    "MatMulIntegerToFloat": (1,),
    "QLinearMatMul": (3,),
    "QLinearConv": (3,),
    "QGemm": (3,),
    "QAttention": (1,),
    "DynamicQuantizeLSTM": (1, 2),
}
_FIRST_WITHOUT_INPUTS = 4
"""The IR version from which on a constant need not be an input."""
Constants = Mapping[str, "onnx.TensorProto"]


def own_zero_points(graph: onnx.GraphProto) -> bool:
    """Give each layer zero points of its own for its weights, in graphs inside nodes too; return if any was shared."""
    return _Constants(graph).separate(graph, _ZERO_POINTS, {})


def for_exact_mode(path: Path) -> onnx.ModelProto | None:
    """Return the model at ``path``, external tensors not loaded, as the exact mode takes it; None if it is so already.

    Raises ``ModelError`` if the file cannot be read.
    """
    proto = read_graph(path)
    constants = _Constants(proto.graph)
    changed = constants.split(proto.graph, {})
    every = {operator: (*at, *_ZERO_POINTS[operator]) for operator, at in _WEIGHTS.items()}
    changed = constants.separate(proto.graph, every, {}) or changed
    if changed and proto.ir_version < _FIRST_WITHOUT_INPUTS:
        strip_initializer_inputs(proto)
    return proto if changed else None


class _Constants:
    """Hands out copies under names that are free in the whole model."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._taken = value_names(graph)
        self._read: set[str] = set()

    def separate(self, graph: onnx.GraphProto, places: Mapping[str, tuple[int, ...]], outer: Constants) -> bool:
        """Let no two of these ``places`` read one INT8 constant; those of graphs around this one are ``outer``."""
        known, changed = {**outer, **_int8(graph)}, False
        for node in graph.node:
            of_activations = node.op_type == "DequantizeLinear" and node.input[0] not in known
            for index in () if of_activations else places.get(node.op_type, ()):
                name = node.input[index] if index < len(node.input) else ""
                if name not in known:
                    continue
                if name in self._read:
                    node.input[index] = self._copy(graph, known[name], name)
                    changed = True
                self._read.add(name)
            for body in subgraphs(node):
                changed = self.separate(body, places, known) or changed
        return changed

    def split(self, graph: onnx.GraphProto, outer: Constants) -> bool:
        """Give each reader of a weight that is dequantized a DequantizeLinear of its own, with its zero points."""
        from onnx import TensorProto

        known = {**outer, **_int8(graph)}
        scales = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
        readers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
        for node in graph.node:
            for index, name in enumerate(node.input):
                readers.setdefault(name, []).append((node, index))
        every: list[onnx.NodeProto] = []
        changed = False
        for node in graph.node:
            every.append(node)
            for body in subgraphs(node):
                changed = self.split(body, known) or changed
            if node.op_type != "DequantizeLinear" or node.input[0] not in known:
                continue
            scale = scales.get(node.input[1])
            if scale is not None and prod(scale.dims) > 1 and not any(node.input[2:]):
                zeros = TensorProto(data_type=TensorProto.INT8, dims=scale.dims, raw_data=bytes(prod(scale.dims)))
                node.input[:] = [*node.input[:2], self._copy(graph, zeros, f"{node.input[0]}_zero_point")]
                changed = True
            for reader, index in readers.get(node.output[0], [])[1:]:
                twin = type(node)()
                twin.CopyFrom(node)
                twin.name = ""
                twin.output[0] = reader.input[index] = self._fresh(node.output[0])
                every.append(twin)
                changed = True
        if len(every) > len(graph.node):
            del graph.node[:]
            graph.node.extend(every)
        return changed

    def _copy(self, graph: onnx.GraphProto, tensor: onnx.TensorProto, name: str) -> str:
        """Add a copy; of an external tensor, one that refers to the same place in the same file."""
        copy = graph.initializer.add()
        copy.CopyFrom(tensor)
        copy.name = own = self._fresh(name)
        return own

    def _fresh(self, name: str) -> str:
        found = fresh(name if name not in self._taken else f"{name}_own", self._taken)
        self._taken.add(found)
        return found


def _int8(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Return the INT8 constants of a graph by name: initializers, and Constant nodes."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                constants[node.output[0]] = attribute.t
    return {name: tensor for name, tensor in constants.items() if tensor.data_type == tensor.INT8}
