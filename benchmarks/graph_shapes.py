"""The operators of random graphs that move values about: shapes, slices, indices, recurrences, branches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from graph_builder import Builder, Value
from graph_operators import Operator, is_float, of_rank
from onnx import TensorProto, helper


def flatten(b: Builder) -> None:
    """Flatten, by one of five ways to say so; some compute the shape."""
    x = b.pick(of_rank(3, 4))
    if x is None:
        return
    shape = (x.shape[0], math.prod(x.fixed(axis) for axis in range(1, x.rank)))
    way = b.one_of(["Flatten", "zero", "minus", "computed", "computed"])
    if way == "Flatten":
        b.add("Flatten", [x], shape, axis=1)
    elif way == "zero":
        b.add("Reshape", [x, b.ints(0, -1)], shape)
    elif way == "minus":
        b.add("Reshape", [x, b.ints(-1, int(shape[1]))], shape)
    else:
        b.add("Reshape", [x, _sizes(b, x, int(shape[1]))], shape)


def _sizes(b: Builder, x: Value, rest: int) -> str:
    """Return a computed shape: the first size of ``x``, and ``rest``."""
    (all_sizes,) = b.node("Shape", [x])
    (first,) = b.node("Gather", [all_sizes, b.constant(np.int64(0))], axis=0)
    if b.opset >= 13:
        (as_list,) = b.node("Unsqueeze", [first, b.ints(0)])
    else:
        (as_list,) = b.node("Unsqueeze", [first], axes=[0])
    return b.node("Concat", [as_list, b.ints(rest)], axis=0)[0]


def split_heads(b: Builder) -> None:
    """Reshape the last axis into two, and perhaps back."""
    x = b.pick(lambda v: of_rank(2, 3)(v) and v.fixed(-1) % 2 == 0)
    if x is not None:
        shape = (*x.shape[:-1], 2, x.fixed(-1) // 2)
        there = b.add("Reshape", [x, b.ints(*[0] * (x.rank - 1), 2, -1)], shape)
        if b.chance(0.4):
            b.add("Reshape", [there, b.ints(-1, *(x.fixed(axis) for axis in range(1, x.rank)))], x.shape)


def squeeze(b: Builder) -> None:
    """Add an axis of size 1, or remove one."""
    x = b.pick(lambda v: is_float(v) and 1 in v.shape[1:] and v.rank > 2) if b.chance(0.5) else None
    if x is not None:
        axis = x.shape.index(1, 1)
        b.with_axes("Squeeze", x, [axis], (*x.shape[:axis], *x.shape[axis + 1 :]), 13)
        return
    x = b.pick(of_rank(2, 3))
    if x is not None:
        axis = int(b.random.integers(1, x.rank + 1))
        b.with_axes("Unsqueeze", x, [axis], (*x.shape[:axis], 1, *x.shape[axis:]), 13)


def slice_(b: Builder) -> None:
    """Take a part of an axis, with steps, from behind, or up to the end."""
    x = b.pick(lambda v: of_rank(2, 3, 4)(v) and v.fixed(-1) >= 4)
    if x is None:
        return
    size = x.fixed(-1)
    forms = ((0, size - 1, 1), (1, 2**31 - 1, 1), (-3, 2**31 - 1, 1), (0, size, 2), (size - 1, -(2**31), -1))
    start, end, step = b.one_of(forms)
    kept = len(range(size)[start : None if abs(end) > size else end : step])
    b.add("Slice", [x, b.ints(start), b.ints(end), b.ints(-1), b.ints(step)], (*x.shape[:-1], kept))


def concat(b: Builder) -> None:
    """Join values that differ in one axis at most."""
    x = b.pick(of_rank(2, 3, 4))
    if x is None:
        return
    axis = int(b.random.integers(1, x.rank))
    rest = (*x.shape[:axis], *x.shape[axis + 1 :])
    y = b.pick(
        lambda v: (
            is_float(v) and v.rank == x.rank and (*v.shape[:axis], *v.shape[axis + 1 :]) == rest and v.fixed(axis) > 0
        )
    )
    other = y or x
    b.add("Concat", [x, other], (*x.shape[:axis], x.fixed(axis) + other.fixed(axis), *x.shape[axis + 1 :]), axis=axis)


def split(b: Builder) -> None:
    """Split an axis in two."""
    x = b.pick(lambda v: of_rank(2, 3, 4)(v) and v.fixed(1) >= 2)
    if x is None:
        return
    first = int(b.random.integers(1, x.fixed(1)))
    sizes = [first, x.fixed(1) - first]
    if b.opset >= 13:
        names = b.node("Split", [x, b.ints(*sizes)], 2, axis=1)
    else:
        names = b.node("Split", [x], 2, axis=1, split=sizes)
    for name, size in zip(names, sizes, strict=True):
        b.give(Value(name, (x.shape[0], size, *x.shape[2:])))


def gather(b: Builder) -> None:
    """Choose by constant indices: along an axis, or element by element."""
    x = b.pick(of_rank(2, 3))
    if x is None:
        return
    axis = int(b.random.integers(1, x.rank))
    size = x.fixed(axis)
    if b.chance(0.6):
        indices = b.random.integers(-size, size, int(b.one_of([1, 3])))
        shape = (*x.shape[:axis], len(indices), *x.shape[axis + 1 :])
        b.add("Gather", [x, b.constant(indices.astype(np.int64))], shape, axis=axis)
    else:
        b.add(
            "Gather",
            [x, b.constant(np.int64(b.random.integers(size)))],
            (*x.shape[:axis], *x.shape[axis + 1 :]),
            axis=axis,
        )


def embed(b: Builder) -> None:
    """Look numbers up in a table: those of an input, or the place of a maximum."""
    ids = b.pick(lambda v: v.dtype == "i" and 1 <= v.rank <= 2)
    if ids is None:
        return
    bounded = b.add("Mod", [ids, b.constant(np.int64(11))], ids.shape, "i")
    b.add("Gather", [b.weight(11, 8, scale=1.0), bounded], (*ids.shape, 8))


def scatter(b: Builder) -> None:
    """Gather and scatter element by element, at computed indices."""
    x = b.pick(of_rank(2))
    if x is None:
        return
    best = _arg(b, x, keep=True)
    taken = b.add("GatherElements", [x, best], best.shape, axis=1)
    if b.chance(0.6):
        b.add("ScatterElements", [x, best, b.add("Neg", [taken], taken.shape)], x.shape, axis=1)


def _arg(b: Builder, x: Value, *, keep: bool) -> Value:
    axis = x.rank - 1
    shape = (*x.shape[:axis], 1) if keep else x.shape[:axis]
    return b.add(b.one_of(["ArgMax", "ArgMin"]), [x], shape, "i", axis=axis, keepdims=int(keep))


def arg_max(b: Builder) -> None:
    """Say where the largest or smallest value is."""
    x = b.pick(of_rank(2, 3))
    if x is not None:
        _arg(b, x, keep=b.chance(0.5))


def top_k(b: Builder) -> None:
    """Sort out the largest values."""
    x = b.pick(lambda v: of_rank(2, 3)(v) and v.fixed(-1) >= 3)
    if x is not None:
        values, places = b.node("TopK", [x, b.ints(2)], 2, axis=-1)
        b.give(Value(values, (*x.shape[:-1], 2)))
        b.give(Value(places, (*x.shape[:-1], 2), "i"))


def pad(b: Builder) -> None:
    """Pad the last axis."""
    x = b.pick(lambda v: of_rank(2, 3, 4)(v) and v.fixed(-1) >= 3)
    if x is not None:
        ends = [0] * (x.rank - 1)
        mode = b.one_of(["constant", "reflect", "edge"])
        value = [b.constant(np.float32(0.3))] if mode == "constant" and b.chance(0.5) else []
        b.add("Pad", [x, b.ints(*ends, 1, *ends, 2), *value], (*x.shape[:-1], x.fixed(-1) + 3), mode=mode)


def resize(b: Builder) -> None:
    """Enlarge a picture, or move its pixels between channels and space."""
    x = b.pick(of_rank(4))
    if x is None:
        return
    channels, height, width = (x.fixed(axis) for axis in (1, 2, 3))
    kind = b.one_of(["Resize", "DepthToSpace", "DepthToSpace", "SpaceToDepth"])
    if kind == "Resize":
        mode, how = b.one_of([("nearest", "asymmetric"), ("linear", "half_pixel")])
        more = {"nearest_mode": "floor"} if mode == "nearest" else {}
        scales = b.constant(np.array([1, 1, 2, 2], np.float32))
        roi = "" if b.opset >= 13 else b.constant(np.zeros(0, np.float32))
        shape = (x.shape[0], channels, height * 2, width * 2)
        b.add("Resize", [x, roi, scales], shape, mode=mode, coordinate_transformation_mode=how, **more)
    elif kind == "DepthToSpace" and channels % 4 == 0:
        b.add(kind, [x], (x.shape[0], channels // 4, height * 2, width * 2), blocksize=2)
    elif kind == "SpaceToDepth" and height % 2 == 0 and width % 2 == 0:
        b.add(kind, [x], (x.shape[0], channels * 4, height // 2, width // 2), blocksize=2)


def repeat(b: Builder) -> None:
    """Repeat values: Tile, Expand, or a constant as large as the batch."""
    x = b.pick(of_rank(2, 3))
    if x is None:
        return
    kind = b.one_of(["Tile", "Expand", "ConstantOfShape"])
    if kind == "Tile":
        b.add("Tile", [x, b.ints(*[1] * (x.rank - 1), 2)], (*x.shape[:-1], x.fixed(-1) * 2))
    elif kind == "Expand" and x.rank == 3:
        best = b.add("Unsqueeze", [x, b.ints(2)], (*x.shape[:2], 1, x.fixed(2))) if b.opset >= 13 else None
        if best is not None:
            b.add("Expand", [best, b.ints(1, 1, 2, 1)], (*x.shape[:2], 2, x.fixed(2)))
    elif x.rank == 2:
        value = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.25])
        ones = b.node("ConstantOfShape", [_sizes(b, x, x.fixed(1))], value=value)[0]
        b.add("Add", [x, ones], x.shape)


def running_sum(b: Builder) -> None:
    """Sum up along an axis, mask a triangle, or multiply by Einstein's convention."""
    x = b.pick(of_rank(2, 3))
    if x is None:
        return
    kind = b.one_of(["CumSum", "Trilu", "Einsum", "OneHot"])
    if kind == "CumSum":
        b.add("CumSum", [x, b.constant(np.int64(x.rank - 1))], x.shape)
    elif kind == "Trilu" and b.opset >= 14 and x.rank == 3:
        b.add("Trilu", [x], x.shape, upper=int(b.chance(0.5)))
    elif kind == "Einsum" and b.opset >= 12:
        letters = "nij"[: x.rank]
        weight = b.weight(x.fixed(-1), 4)
        b.add("Einsum", [x, weight], (*x.shape[:-1], 4), equation=f"{letters},{letters[-1]}k->{letters[:-1]}k")
    elif kind == "OneHot" and x.rank == 2:
        depth, pair = b.constant(np.int64(x.fixed(1))), b.constant(np.array([0, 1], np.float32))
        b.add("OneHot", [_arg(b, x, keep=False), depth, pair], x.shape, axis=-1)


def recurrent(b: Builder) -> None:
    """Add an LSTM, GRU or RNN over the second axis, which must first come first."""
    x = b.pick(of_rank(3))
    if x is None:
        return
    kind, gates = b.one_of([("LSTM", 4), ("GRU", 3), ("RNN", 1)])
    steps, width, hidden = x.fixed(1), x.fixed(2), 4
    both = b.chance(0.3)
    ways = 2 if both else 1
    first = b.add("Transpose", [x], (steps, x.shape[0], width), perm=[1, 0, 2])
    b.values.remove(first)  # its first axis is not the batch
    inputs = [
        first,
        b.weight(ways, gates * hidden, width, scale=0.4),
        b.weight(ways, gates * hidden, hidden, scale=0.4),
    ]
    if b.chance(0.6):
        inputs.append(b.weight(ways, 2 * gates * hidden, scale=0.2))
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": "bidirectional" if both else "forward"}
    if kind == "GRU" and b.chance(0.5):
        attributes["linear_before_reset"] = 1
    y, last = b.node(kind, inputs, 2, **attributes)
    if b.chance(0.5):  # [steps, ways, batch, hidden]
        turned = b.node("Transpose", [y], perm=[2, 0, 1, 3])[0]
        b.add("Reshape", [turned, b.ints(0, 0, -1)], (x.shape[0], steps, ways * hidden))
    else:
        turned = b.node("Transpose", [last], perm=[1, 0, 2])[0]
        b.add("Reshape", [turned, b.ints(0, -1)], (x.shape[0], ways * hidden))


def branch(b: Builder) -> None:
    """Add an If whose bodies read values and weights from around them."""
    x = b.pick(of_rank(2, 3))
    if x is None:
        return
    weight = b.weight(x.fixed(-1), x.fixed(-1))
    total = b.node("ReduceSum" if b.opset >= 18 else "ReduceMax", [x], keepdims=0)[0]
    test = b.constant(np.bool_(True)) if b.chance(0.2) else b.node("Greater", [total, b.constant(np.float32(0.5))])[0]
    bodies = []
    for number in range(2):
        inner, out = b.name("t"), b.name("t")
        nodes = (
            [helper.make_node("MatMul", [x.name, weight], [inner])]
            if number == 0
            else [helper.make_node("Neg", [x.name], [inner])]
        )
        nodes.append(helper.make_node(b.one_of(["Relu", "Tanh"]), [inner], [out]))
        bodies.append(helper.make_graph(nodes, b.name("body"), [], [onnx.ValueInfoProto(name=out, type=_type(x))]))
    b.add("If", [test], x.shape, then_branch=bodies[0], else_branch=bodies[1])


def _type(x: Value) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(TensorProto.FLOAT, list(x.shape))


MOVES: tuple[tuple[Operator, float], ...] = (
    (flatten, 3), (split_heads, 1), (squeeze, 1.5), (slice_, 1.5), (concat, 2), (split, 1.5), (gather, 1), (embed, 1),
    (scatter, 0.7), (arg_max, 0.7), (top_k, 0.7), (pad, 1), (resize, 1), (repeat, 1), (running_sum, 1.5),
    (recurrent, 0.8), (branch, 0.7),
)  # fmt: skip
"""Each with how often it is drawn."""
