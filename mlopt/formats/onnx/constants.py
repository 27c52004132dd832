"""The constants that a node of a graph computes with, found through what only converts or moves them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_PASSING = frozenset({"DequantizeLinear", "Cast", "Transpose", "Identity", "Reshape", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True)
class Constant:
    """One, as a node reads it."""

    name: str
    """Its own, in the graph."""
    tensor: onnx.TensorProto
    way: tuple[onnx.NodeProto, ...]
    """The nodes between it and what reads it, the last first."""


class Constants:
    """Those of one graph, by the names of values that have them."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._made = {name: node for node in graph.node for name in node.output}
        for node in (node for node in graph.node if node.op_type == "Constant" and node.output):
            self.tensors.update((node.output[0], each.t) for each in node.attribute if each.HasField("t"))

    def behind(self, name: str) -> Constant | None:
        """Return the constant behind a value; None if it is computed."""
        way: list[onnx.NodeProto] = []
        while name not in self.tensors:
            node = self._made.get(name)
            if node is None or node.op_type not in _PASSING or not node.input or node in way:
                return None
            way.append(node)
            name = node.input[0]
        return Constant(name, self.tensors[name], tuple(way))

    def of(self, node: onnx.NodeProto, places: Collection[int] | None = None) -> list[Constant]:
        """Return those that a node reads, in order: all, or those among the inputs at these ``places``."""
        names = (name for place, name in enumerate(node.input) if name and (places is None or place in places))
        return [found for name in names if (found := self.behind(name)) is not None]
