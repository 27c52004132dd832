"""onnxruntime's quantizer of Q/DQ pairs, with an eye on what is seen of a tensor outside the graph's own nodes.

The quantizer lets an activation disappear in the scale of the layer before it: what is cut off there, no node needs to
cut off again. It takes a layer's output for private where one node reads it, and does not look whether it also is an
output of the graph, or read inside an If: there it was cut off, too. And it takes every Clip for a cut at the ends of a
range, although a scale's range always holds zero: a Clip to [1, 6] let through what is below 1.

This module imports onnxruntime: import it inside functions only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import numpy_helper
from onnxruntime.quantization import QDQQuantizer

from mlopt.formats.onnx.graph import public_values, read_inside, subgraphs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

_MOVING = frozenset(
    {"MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Flatten", "Expand", "Tile", "Identity"}
)


class Quantizer(QDQQuantizer):  # type: ignore[misc]  # onnxruntime is not typed
    """The quantizer, in which a layer's output stays what it is where anyone else may see it."""

    def quantize_model(self) -> onnx.ModelProto:
        """Quantize, but of an input that is an output, too, what reads it: the quantizer would define it again."""
        graph = self.model.graph()
        outputs, inputs = [*graph.output], {value.name for value in graph.input}
        del graph.output[:]
        graph.output.extend(value for value in outputs if value.name not in inputs)
        super().quantize_model()
        del graph.output[:]
        graph.output.extend(outputs)
        _read_rounded(graph)
        _read_unrounded(graph)
        written: onnx.ModelProto = self.model.model
        return written

    def quantize_activation_tensor(self, tensor_name: str) -> None:
        """Leave constants that are no weights as they are, where each reader has a pair of its own: for TensorRT.

        It refuses one in INT8 that it has to stretch before a DequantizeLinear reads it, and gains nothing by others.
        """
        if self.dedicated_qdq_pair and self.model.get_initializer(tensor_name) is not None:
            return
        super().quantize_activation_tensor(tensor_name)

    def adjust_tensor_ranges(self) -> None:
        """Give a layer the range of its activation, unless its own output is seen."""
        if self.tensors_range is None:
            return
        seen = public_values(self.model.graph())
        own = {name: data for name, data in self.tensors_range.items() if name in seen}
        super().adjust_tensor_ranges()
        for name, data in own.items():
            self.tensors_range[name] = data

    def try_replacing_upstream_output(self, upstream_output_name: str, output_name: str) -> bool:
        """Take an activation away, if a scale can do its work and nobody sees what is before it."""
        graph = self.model.graph()
        cut = next((node for node in graph.node if node.op_type == "Clip" and node.output[0] == output_name), None)
        seen = upstream_output_name in public_values(graph) or output_name in moved_inside(graph)
        if seen or (cut is not None and not _holds_zero(cut, graph)):
            return False
        return bool(super().try_replacing_upstream_output(upstream_output_name, output_name))


def _read_rounded(graph: onnx.GraphProto) -> None:
    """Let bodies of If, Loop and Scan read what other readers do: a tensor as it comes back from integers.

    The quantizer does not look into them. They would read what was there before an activation that was taken away.
    """
    back = {node.input[0]: node.output[0] for node in reversed(graph.node) if node.op_type == "DequantizeLinear"}
    rounded = {floats: back[codes] for codes, floats in _quantized(graph).items() if codes in back}
    for node in graph.node:
        for body in subgraphs(node):
            _read(body, rounded)


def _read_unrounded(graph: onnx.GraphProto) -> None:
    """Let what only moves values, on their way into a body, read them as they were before they became integers.

    onnxruntime moves a DequantizeLinear behind such operators, and crashes where a body reads what they write.
    """
    floats = _quantized(graph)
    before = {
        n.output[0]: floats[n.input[0]] for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in floats
    }
    moved = moved_inside(graph)
    for node in graph.node:
        if node.op_type in _MOVING and node.input[0] in moved:
            node.input[0] = before.get(node.input[0], node.input[0])


def _quantized(graph: onnx.GraphProto) -> dict[str, str]:
    """Return which tensor each QuantizeLinear makes integers of, by the name of these."""
    return {node.output[0]: node.input[0] for node in reversed(graph.node) if node.op_type == "QuantizeLinear"}


def moved_inside(graph: onnx.GraphProto) -> frozenset[str]:
    """Return the tensors that come into the body of an If, Loop or Scan in another shape or order."""
    inside, found = set(read_inside(graph)), set[str]()
    waiting = True
    while waiting:
        movers = (node for node in graph.node if node.op_type in _MOVING and node.output[0] in inside)
        new = {node.input[0] for node in movers} - found
        found |= new
        inside |= new
        waiting = bool(new)
    return frozenset(found)


def _read(body: onnx.GraphProto, instead: Mapping[str, str]) -> None:
    """Let a body, and those inside it, read other tensors, as far as they are not its own."""
    own = {value.name for value in (*body.input, *body.initializer)}
    own.update(name for node in body.node for name in node.output)
    outer = {name: other for name, other in instead.items() if name not in own}
    for node in body.node:
        node.input[:] = [outer.get(name, name) for name in node.input]
        for inner in subgraphs(node):
            _read(inner, outer)


def _holds_zero(clip: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    """Whether a Clip has constant bounds with zero between them."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    bounds: dict[int, Any] = {}
    for place, name in enumerate(clip.input[1:]):
        if name and name not in stored:
            return False
        if name:
            bounds[place] = numpy_helper.to_array(stored[name])
    return bool(np.all(bounds.get(0, 0) <= 0) and np.all(bounds.get(1, 0) >= 0))
