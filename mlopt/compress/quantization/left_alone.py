"""Which layers of a float model ``quantize`` leaves alone, and why, as far as the graph alone tells.

Samples and measuring leave further ones alone: ranges that are too wide, a speed that is none, an error that is too
large. What the recipe excludes is not looked at either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlopt.compress.quantization.graph import survey
from mlopt.compress.quantization.prepared import RECURRENT, WEIGHTED, first_output
from mlopt.formats.onnx.constants import Constants
from mlopt.formats.onnx.graph import nodes, subgraphs

if TYPE_CHECKING:
    import onnx

_WITHOUT_INT8 = frozenset({"ConvTranspose", "GRU", "RNN", "Einsum", "DeformConv", "Attention"})
_TAKEN = (*WEIGHTED, RECURRENT)
_CHANGED = f"quantize changes {', '.join(WEIGHTED)} and {RECURRENT}"
_OWN = "onnxruntime"
_OTHER_FLOATS = {10: "float16", 11: "float64", 16: "bfloat16"}


@dataclass(frozen=True)
class LeftAlone:
    """One layer that stays as it is."""

    node: str
    operator: str
    reason: str


def left_alone(proto: onnx.ModelProto, runtimes: Collection[str] = ()) -> tuple[LeftAlone, ...]:
    """Return those of a float model, in the graph's order; none of one that is quantized already.

    ``runtimes``: in which it is to run.
    """
    found = survey(proto)
    if found.quantized:
        return ()
    taken, constants = frozenset(found.weighted), Constants(proto.graph)
    unread = " and ".join(name for name in runtimes if name != _OWN)
    every: list[LeftAlone] = []
    for node in proto.graph.node:
        every += [_left(inner, f"inside {node.op_type} nothing is looked into") for inner in _bodies(node)]
        if node.op_type in _TAKEN and first_output(node) not in taken:
            every.append(_left(node, _reason(node, constants)))
        elif node.op_type == RECURRENT and unread:
            every.append(_left(node, f"its form in INT8 is ONNX Runtime's own: not for {unread}"))
        elif node.op_type in _WITHOUT_INT8:
            every.append(_left(node, f"it is not written in INT8: {_CHANGED}"))
    return tuple(every)


def _left(node: onnx.NodeProto, reason: str) -> LeftAlone:
    return LeftAlone(node.name or first_output(node), node.op_type, reason)


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    for body in subgraphs(node):
        yield from (inner for inner in nodes(body) if inner.op_type in (*_TAKEN, *_WITHOUT_INT8))


def _reason(node: onnx.NodeProto, constants: Constants) -> str:
    """Return why a layer of a kind that is changed is not one of those that are."""
    weights = [constants.behind(name) for name in (node.input[1:3] if node.op_type == RECURRENT else node.input[1:2])]
    if None in weights or not weights:
        return "it has no constant weight: both of what it multiplies are computed"
    types = {_OTHER_FLOATS.get(each.tensor.data_type) for each in weights if each is not None} - {None}
    if types:
        return f"its weight is {' and '.join(sorted(map(str, types)))}, not float32"
    if constants.behind(node.input[0]) is not None:
        return "it computes with constants alone: `simplify` folds it"
    return "its weight is converted or moved before it is read: `simplify` may fold that"
