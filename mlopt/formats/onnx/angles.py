"""Whether a graph takes the sine or cosine of what it counts: positions, time steps, the phase of a tone.

Rounded to 8 bits of mantissa, such an angle is off by more the further it is counted: what a few short samples show
says nothing of longer ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_LINEAR = frozenset({
    "Mul", "Add", "Sub", "Div", "MatMul", "Gemm", "Einsum", "Neg", "Cast", "Identity", "Unsqueeze", "Squeeze",
    "Reshape", "Flatten", "Expand", "Tile", "Transpose", "Concat", "Split", "Slice", "Where", "Mod", "Floor",
})  # fmt: skip
"""What leaves an angle one that is counted."""
_OF_THE_FIRST = frozenset({"Reshape", "Expand", "Tile", "Unsqueeze", "Squeeze", "Slice", "Split"})
_COUNTING, _OF_SIZES = frozenset({"CumSum", "Range"}), frozenset({"Shape", "Size"})
_INTEGERS = (2, 3, 4, 5, 6, 7, 12, 13)


def counted_angle(graph: onnx.GraphProto, *, sizes_known: bool) -> str | None:
    """Return the sine or cosine whose angle follows from integers that are fed or counted; None if there is none.

    Where ``sizes_known``, what is counted along an axis alone is a constant. Branches and loops are not looked into.
    """
    makers = {name: node for node in graph.node for name in node.output}
    integers = {value.name for value in graph.input if value.type.tensor_type.elem_type in _INTEGERS}
    fed = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type not in ("Sin", "Cos"):
            continue
        for name in _back(node.input[0], makers, _LINEAR):
            maker = makers.get(name)
            counts = maker is not None and maker.op_type in _COUNTING
            if counts and sizes_known:
                counts = not fed.isdisjoint(_back(name, makers, None))
            if counts or name in integers:
                return f"{node.op_type} {node.name or node.output[0]}"
    return None


def _back(name: str, makers: dict[str, onnx.NodeProto], through: frozenset[str] | None) -> set[str]:
    """Return the values that one is made of by such operators; by any (None), but not through sizes."""
    seen, waiting = set[str](), [name]
    while waiting:
        if (one := waiting.pop()) in seen:
            continue
        seen.add(one)
        node = makers.get(one)
        if node is None or node.op_type in _OF_SIZES or (through is not None and node.op_type not in through):
            continue
        waiting += node.input[:1] if through is not None and node.op_type in _OF_THE_FIRST else node.input
    return seen
