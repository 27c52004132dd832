"""Whether weights have the pattern 2:4, as kernels for sparse weights want it: of four neighbours, two are zero.

Neighbours are four that follow each other along the inputs that a product adds up, of one output. A zero is what stands
for zero: of integers their zero point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlopt.formats.onnx.constants import Constant, Constants
from mlopt.formats.onnx.graph import node_names
from mlopt.formats.onnx.save import loaded

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

_GROUP, _KEPT = 4, 2


@dataclass(frozen=True)
class _Weight:
    """Where an operator takes its weight from, and the zero point of it, if it is of integers."""

    place: int
    zero: int | None = None
    adds_up: int = -2
    """The axis along which products are added up."""


_WEIGHTS: Mapping[str, _Weight] = {
    "Conv": _Weight(1, adds_up=1), "FusedConv": _Weight(1, adds_up=1), "ConvInteger": _Weight(1, 3, adds_up=1),
    "QLinearConv": _Weight(3, 5, adds_up=1), "Gemm": _Weight(1), "FusedGemm": _Weight(1), "QGemm": _Weight(3, 5),
    "MatMul": _Weight(1), "FusedMatMul": _Weight(1), "MatMulInteger": _Weight(1, 3), "QLinearMatMul": _Weight(3, 5),
    "DynamicQuantizeMatMul": _Weight(1, 3), "MatMulIntegerToFloat": _Weight(1, 5),
}  # fmt: skip


def two_of_four(graph: onnx.GraphProto, folder: Path) -> dict[str, bool]:
    """Return for the nodes with a weight that can have the pattern whether it has it, all over.

    They are nodes of the main graph whose weight is a constant, with inputs in multiples of four. ``folder`` has the
    external data; one weight at a time is read.
    """
    constants, found = Constants(graph), {}
    for node, name in zip(graph.node, node_names(graph), strict=True):
        weight = _WEIGHTS.get(node.op_type)
        try:
            holds = None if weight is None else _holds(node, weight, constants, folder)
        except (ValueError, TypeError, IndexError, KeyError):  # a file whose parts do not fit, which no runtime loads
            holds = None
        if holds is not None:
            found[name] = holds
    return found


def _holds(node: onnx.NodeProto, weight: _Weight, constants: Constants, folder: Path) -> bool | None:
    """Return whether a node's weight has the pattern; None if it cannot have it, or that is not known."""
    zeros = _zeros(node, weight, constants, folder)
    if zeros is None or zeros.ndim < 2:
        return None
    along = np.moveaxis(zeros, _axis(node, weight), -1)
    if along.shape[-1] % _GROUP or not along.size:
        return None
    return bool((along.reshape(-1, _GROUP).sum(axis=1) >= _GROUP - _KEPT).all())


def _axis(node: onnx.NodeProto, weight: _Weight) -> int:
    turned = any(each.name == "transB" and each.i for each in node.attribute)
    return -1 if turned and weight.adds_up == -2 else weight.adds_up


def _zeros(node: onnx.NodeProto, weight: _Weight, constants: Constants, folder: Path) -> NDArray[np.bool_] | None:
    """Return where the weight that a node reads is zero, in the node's own layout; None if that is not known."""
    found = constants.behind(node.input[weight.place]) if weight.place < len(node.input) else None
    if found is None or any(each.op_type in {"Reshape", "Squeeze", "Unsqueeze"} for each in found.way):
        return None
    outermost = next((each for each in reversed(found.way) if each.op_type == "DequantizeLinear"), None)
    reader, place = (node, weight.zero) if outermost is None else (outermost, 2)
    name = reader.input[place] if place is not None and place < len(reader.input) else ""
    point = constants.behind(name) if name else None
    if name and point is None:
        return None
    values = _values(found, folder)
    turns = sum(each.op_type == "Transpose" for each in found.way)
    if point is None:
        zeros = values == 0
    elif (least := _one(_values(point, folder))) is None:
        zeros = _per_channel(values, _values(point, folder), reader)
    else:
        zeros = values == least
    return _turned(zeros, found) if turns else zeros


def _one(points: NDArray[np.generic]) -> np.generic | None:
    """Return the zero point that all channels share; None if they do not."""
    first: np.generic = points.reshape(-1)[0]
    return first if (points == first).all() else None


def _per_channel(values: NDArray[np.generic], points: NDArray[np.generic], reader: onnx.NodeProto) -> NDArray[np.bool_]:
    """Compare each channel with its own; DequantizeLinear says along which axis, others' are the outputs."""
    default = 1 if reader.op_type == "DequantizeLinear" else 0 if reader.op_type.endswith("Conv") else -1
    axis = next((each.i for each in reader.attribute if each.name == "axis"), default)
    shape = [1] * values.ndim
    shape[axis] = -1
    return np.asarray(values == points.reshape(shape))


def _turned(zeros: NDArray[np.bool_], found: Constant) -> NDArray[np.bool_]:
    for node in reversed(found.way):
        if node.op_type == "Transpose":
            order = next((list(each.ints) for each in node.attribute if each.name == "perm"), None)
            zeros = zeros.transpose(order)
    return zeros


def _values(constant: Constant, folder: Path) -> NDArray[np.generic]:
    from onnx import numpy_helper

    values: NDArray[np.generic] = numpy_helper.to_array(loaded(constant.tensor, folder))
    return values
