"""What ONNX Runtime made of a model: the graph that it writes after its own optimizations, node by node.

That graph names some tensors anew and declares few types, so types are followed from node to node. Which nodes of the
model are in a layer is told where the names of tensors around it are still those of the model, else by its own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mlopt.formats.onnx.graph import nodes, subgraphs
from mlopt.results.timing import Layer

if TYPE_CHECKING:
    import onnx

_ADDED = re.compile(r"(_token_\d+|_nchwc|_pre_q|_q_to_dq|_post_dq|/duplicated)+$")
"""What is appended to the name of a node, or of what it wrote, where that is replaced."""
_QUANTIZES_ITSELF = frozenset({"DynamicQuantizeMatMul", "DynamicQuantizeLSTM"})
_PACKED, _IN_INTEGERS = "MatMulNBits", 4
"""The level of its ``accuracy_level`` at which it rounds its input to INT8."""
_FIRST_DATA: Mapping[str, int] = {"Where": 1, "QLinearConcat": 1}
"""Which input has the type of the data, of those whose first one does not: a condition, a scale."""
_COUNTS = frozenset({"Shape", "Size", "NonZero", "ArgMax", "ArgMin"})
_ANSWERS = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "And", "Or", "IsNaN"})
_NAMES: Mapping[int, str] = {
    1: "f32", 2: "u8", 3: "i8", 4: "u16", 5: "i16", 6: "i32", 7: "i64", 8: "str", 9: "bool", 10: "f16", 11: "f64",
    12: "u32", 13: "u64", 16: "bf16", 17: "f8", 18: "f8", 19: "f8", 20: "f8", 21: "u4", 22: "i4",
}  # fmt: skip
"""Types by their numbers in ONNX."""
_INT64, _UINT8, _BOOL = 7, 2, 9
_MOST_IN_A_ROW = 4
"""Such as a convolution, its batch norm, a sum and an activation."""


def layers_of(optimized: onnx.ModelProto, source: onnx.ModelProto) -> list[Layer]:
    """Return the nodes of the optimized graph, those in bodies of others too; tensors need not be loaded."""
    known, origin = _types(optimized.graph, source), _Origin(source.graph)
    return [
        Layer(
            name=node.name or next(filter(None, node.output), ""), op_type=node.op_type,
            precision=_NAMES.get(_computed_in(node, known), ""),
            kernel=f"{node.domain}::{node.op_type}" if node.domain not in {"", "ai.onnx"} else "",
            made_of=origin.of(node),
        )
        for node in nodes(optimized.graph) if node.op_type != "Constant"
    ]  # fmt: skip


def _types(graph: onnx.GraphProto, source: onnx.ModelProto) -> dict[str, int]:
    """Return the types of all tensors, by number; what nothing tells has that of what it is computed from."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(source).graph
    known = {name: kind for each in (inferred, graph) for name, kind in _declared(each) if kind}
    for node in nodes(graph):
        for name in node.output:
            if name not in known and (kind := _written(node, known)):
                known[name] = kind
    return known


def _declared(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    for value in (*graph.input, *graph.value_info, *graph.output):
        yield value.name, value.type.tensor_type.elem_type
    yield from ((tensor.name, tensor.data_type) for tensor in graph.initializer)
    for node in graph.node:
        for body in subgraphs(node):
            yield from _declared(body)


def _written(node: onnx.NodeProto, known: Mapping[str, int]) -> int:
    """Return the type of what a node writes, 0 if it is not known."""
    told = {attribute.name: attribute.i for attribute in node.attribute}
    read = [known.get(name, 0) for name in node.input]
    if node.op_type == "QuantizeLinear":
        return int(told.get("output_dtype", 0)) or (read[2] if len(read) > 2 else _UINT8)
    if node.op_type == "DequantizeLinear":
        return read[1]
    if node.op_type == "Cast":
        return int(told.get("to", 0))
    if node.op_type in _COUNTS or node.op_type in _ANSWERS:
        return _INT64 if node.op_type in _COUNTS else _BOOL
    return _data(node, read)


def _computed_in(node: onnx.NodeProto, known: Mapping[str, int]) -> int:
    """Return the type that a node computes in: that of its input, but where it quantizes that itself."""
    told = {attribute.name: attribute.i for attribute in node.attribute}
    read = [known.get(name, 0) for name in node.input]
    if node.op_type in _QUANTIZES_ITSELF:
        return read[1]
    if node.op_type == _PACKED and told.get("accuracy_level") == _IN_INTEGERS:
        return 3
    return _data(node, read) or next((known[name] for name in node.output if name in known), 0)


def _data(node: onnx.NodeProto, read: list[int]) -> int:
    return next(filter(None, read[_FIRST_DATA.get(node.op_type, 0) :]), 0)


class _Origin:
    """The nodes of the model, found from those of the optimized graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._fixed = {tensor.name for tensor in graph.initializer}
        self._made: dict[str, onnx.NodeProto] = {}
        self._named: dict[str, onnx.NodeProto] = {}
        self._place: dict[str, int] = {}
        for place, node in enumerate(nodes(graph)):
            self._made |= dict.fromkeys(filter(None, node.output), node)
            self._named.setdefault(node.name or _called(node), node)
            self._place.setdefault(_called(node), place)
            if node.op_type == "Constant" or (node.input and self._fixed.issuperset(filter(None, node.input))):
                self._fixed.update(node.output)

    def of(self, layer: onnx.NodeProto) -> tuple[str, ...]:
        """Return the names of the nodes that are in a layer, in the model's order; none where nothing tells."""
        found = self._between(layer)
        if found is None:
            found = self._alike(layer)
        return tuple(each.name or _called(each) for each in sorted(found, key=lambda one: self._place[_called(one)]))

    def _between(self, layer: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        """Return the nodes from what a layer reads to what it writes; None if not all of that is in the model."""
        found: dict[str, onnx.NodeProto] = {}
        todo, ends = [*filter(None, layer.output)], self._fixed.union(layer.input)
        while todo:
            name = todo.pop()
            if name in ends:
                continue
            made = self._made.get(name)
            if made is None:
                return None
            if _called(made) not in found:
                found[_called(made)] = made
                todo += filter(None, made.input)
        return list(found.values())

    def _alike(self, layer: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return what wrote the tensor that a layer is named after, from a node of its type on, else its namesake."""
        name = _ADDED.sub("", layer.name)
        way: list[onnx.NodeProto] = []
        tensor = name
        while (made := self._made.get(tensor)) is not None and len(way) < _MOST_IN_A_ROW:
            way.append(made)
            if made.op_type == layer.op_type:
                return way
            tensor = next(filter(None, made.input), "")
        return [self._named[name]] if name in self._named else []


def _called(node: onnx.NodeProto) -> str:
    """Return what tells a node from all others: the first tensor that it writes."""
    return str(next(filter(None, node.output), node.name))
