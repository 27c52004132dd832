"""The layers of a model: what computes in it, with weights or multiplications of its own.

Nothing is loaded or run. Layers are nodes of the main graph; what lies in the bodies of If, Loop and Scan is part of
these nodes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.artifact.inspection import model_at
from mlopt.formats import table as formats
from mlopt.formats.onnx.constants import Constant, Constants
from mlopt.formats.onnx.graph import node_names
from mlopt.formats.onnx.macs import UnknownError, input_shapes, node_costs

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]
_MOVING = frozenset(
    {
        "Constant", "QuantizeLinear", "DequantizeLinear", "Cast", "Transpose", "Identity", "Reshape", "Squeeze",
        "Unsqueeze", "Shape", "Pad", "Clip", "Slice", "Concat", "Expand", "ConstantOfShape", "Range", "Split",
    }
)  # fmt: skip
"""What only converts, moves or limits values: its constants are no weights."""
_PACKED = "MatMulNBits"
_WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "QLinearConv": (3, 8), "QLinearMatMul": (0, 3), "QLinearAdd": (0, 3), "QLinearMul": (0, 3), "QGemm": (3, 6),
    "ConvInteger": (1,), "MatMulInteger": (0, 1), "MatMulIntegerToFloat": (0, 1, 6), "DynamicQuantizeMatMul": (1, 4),
    "DynamicQuantizeLSTM": (1, 2, 3), _PACKED: (1, 5),
}  # fmt: skip
"""Of operators in integers: which inputs are weights and biases; the others are scales and zero points."""


@dataclass(frozen=True)
class LayerCost:
    """One node."""

    name: str
    operator: str
    """With its domain, if it is not ONNX's own."""
    input: Shape | None
    """The shape of the first; null if it is not known."""
    weight: Shape | None
    """The shape of the first constant that it computes with; null if there is none."""
    output: Shape | None
    parameters: int
    """Values of its constants; of what several layers share, the first has all."""
    macs: int | None
    """Null if they cannot be counted."""
    parameters_share: float = 0.0
    """Of those of all layers, 0 to 1."""
    macs_share: float | None = None
    """Likewise; null unless those of all layers can be counted."""


def layers_of(path: Path, shapes: Mapping[str, Shape] | None = None) -> tuple[LayerCost, ...]:
    """Return the layers of a model file, or of the model of an artifact, in the order of the file.

    There are none where the kind has no graph view. ``shapes`` and errors are as of ``inspect_model``.
    """
    model = model_at(path)
    if not formats.has_graph(model.kind):
        return ()
    proto = formats.graph_of(model)
    try:
        known, macs = node_costs(proto, model.inputs, input_shapes(model.inputs, shapes or {}))
    except UnknownError:
        known, macs = {}, [None] * len(proto.graph.node)
    return _with_shares(_layers(proto.graph, known, macs))


def _layers(graph: onnx.GraphProto, known: Mapping[str, Shape], macs: Sequence[int | None]) -> list[LayerCost]:
    constants, seen, found = Constants(graph), set[str](), []
    for node, name, cost in zip(graph.node, node_names(graph), macs, strict=True):
        weights = [] if node.op_type in _MOVING else [
            each for each in constants.of(node, _WEIGHTS.get(node.op_type)) if _is_weight(each.tensor)
        ]  # fmt: skip
        own = [each for each in weights if each.name not in seen]
        seen.update(each.name for each in own)
        if weights or cost or (cost is None and node.op_type not in _MOVING and known):
            found.append(LayerCost(
                name=name, operator=f"{node.domain}::{node.op_type}" if node.domain else node.op_type,
                input=known.get(node.input[0]) if node.input else None,
                weight=_dims(node, weights[0]) if weights else None,
                output=known.get(node.output[0]) if node.output else None,
                parameters=sum(math.prod(_dims(node, each)) for each in own), macs=cost,
            ))  # fmt: skip
    return found


def _is_weight(tensor: onnx.TensorProto) -> bool:
    """Whether a constant may be one: shapes, axes and indices are int64, and a scale or a limit has no axis."""
    import onnx

    return bool(tensor.dims) and tensor.data_type not in {onnx.TensorProto.INT64, onnx.TensorProto.BOOL}


def _dims(node: onnx.NodeProto, weight: Constant) -> Shape:
    """Return the shape of a weight; where several values share a byte, that of the values."""
    sizes = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type == _PACKED and len(node.input) > 1 and weight.name == node.input[1]:
        return sizes.get("N", 0), sizes.get("K", 0)
    return tuple(weight.tensor.dims)


def _with_shares(layers: Sequence[LayerCost]) -> tuple[LayerCost, ...]:
    parameters = sum(layer.parameters for layer in layers)
    counted = [layer.macs for layer in layers if layer.macs is not None]
    whole = sum(counted) if len(counted) == len(layers) else 0
    return tuple(
        replace(
            layer, parameters_share=layer.parameters / max(1, parameters),
            macs_share=None if layer.macs is None or not whole else layer.macs / whole,
        )
        for layer in layers
    )  # fmt: skip
