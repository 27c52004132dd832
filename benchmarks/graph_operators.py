"""The operators of random graphs: each function adds one operator, or a pattern of a few, to a graph, if it fits.

Functions come in a table, from which the generator draws. What they add must be valid for every size of a free axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from graph_builder import Builder, Value

Operator = Callable[[Builder], None]

_PLAIN = (
    "Relu", "Sigmoid", "Tanh", "Softplus", "Abs", "Neg", "Erf", "Selu", "Softsign", "Sin", "Cos", "Identity",
)  # fmt: skip
_NORMS = (
    "BatchNormalization", "InstanceNormalization", "LRN", "LayerNormalization", "pattern", "Softmax", "LogSoftmax",
)  # fmt: skip
_REDUCTIONS = (
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp",
)  # fmt: skip
_UNARY: dict[str, tuple[int, dict[str, Any]]] = {
    **dict.fromkeys(_PLAIN, (11, {})),
    "LeakyRelu": (11, {"alpha": 0.1}),
    "Elu": (11, {"alpha": 0.7}),
    "HardSigmoid": (11, {"alpha": 0.3, "beta": 0.4}),
    "ThresholdedRelu": (11, {"alpha": 0.2}),
    "Celu": (12, {"alpha": 1.5}),
    "HardSwish": (14, {}),
    "Mish": (18, {}),
    "Gelu": (20, {}),
    "Dropout": (11, {}),
}
"""Operator: the first opset that has it, its attributes."""


def is_float(value: Value) -> bool:
    """Whether it is float32."""
    return value.dtype == "f"


def of_rank(*ranks: int) -> Callable[[Value], bool]:
    """Return a condition: float32, one of these ranks, all axes but the first fixed."""
    return lambda v: v.dtype == "f" and v.rank in ranks and all(v.fixed(axis) for axis in range(1, v.rank))


def unary(b: Builder) -> None:
    """Add an activation or another function of one value."""
    x = b.pick(is_float)
    op_type, (since, attributes) = b.one_of(list(_UNARY.items()))
    if x is not None and b.opset >= since:
        b.add(op_type, [x], x.shape, **attributes)


def positive(b: Builder) -> None:
    """Add a function that needs positive or bounded values."""
    x = b.pick(is_float)
    if x is None:
        return
    kind = b.one_of(["Sqrt", "Log", "Reciprocal", "Exp", "Pow", "Div"])
    if kind == "Exp":
        b.add("Exp", [b.add("Tanh", [x], x.shape)], x.shape)
        return
    safe = b.add("Add", [b.add("Abs", [x], x.shape), b.constant(np.float32(0.5))], x.shape)
    if kind == "Pow":
        b.add("Pow", [b.add("Sigmoid", [x], x.shape), b.constant(np.float32(b.one_of([2.0, 0.5, 3.0])))], x.shape)
    elif kind == "Div":
        b.add("Div", [x, safe], x.shape)
    else:
        b.add(kind, [safe], x.shape)


def clip(b: Builder) -> None:
    """Clip, at one end or both."""
    x = b.pick(is_float)
    if x is not None:
        low, high = b.constant(np.float32(-0.5)), b.constant(np.float32(0.75))
        b.add("Clip", b.one_of([[x, low, high], [x, low], [x, "", high]]), x.shape)


def prelu(b: Builder) -> None:
    """Add a PRelu with a slope for each channel."""
    x = b.pick(of_rank(2, 3, 4))
    if x is not None:
        b.add("PRelu", [x, b.weight(x.fixed(1), *[1] * (x.rank - 2), scale=0.3)], x.shape)


def with_constant(b: Builder) -> None:
    """Combine a value with a constant that is broadcast."""
    x = b.pick(of_rank(2, 3, 4))
    if x is None:
        return
    last, channels = x.fixed(-1), x.fixed(1)
    shapes: list[tuple[int, ...]] = [(), (1,), (last,), (1, last), (1, channels, *[1] * (x.rank - 2))]
    operands: list[Value | str] = [x, b.weight(*b.one_of(shapes), scale=0.7)]
    op_type = b.one_of(["Add", "Sub", "Mul", "Min", "Max", "Add"])
    b.add(op_type, operands if b.chance(0.7) else operands[::-1], x.shape)


def of_two(b: Builder) -> None:
    """Combine two values of one shape, or one value with itself."""
    x = b.pick(is_float)
    if x is None:
        return
    y = b.pick(lambda v: v.dtype == "f" and v.shape == x.shape) or x
    b.add(b.one_of(["Add", "Sub", "Mul", "Min", "Max", "Sum", "Mean"]), [x, y], x.shape)


def where(b: Builder) -> None:
    """Compare two values and choose between them, with some logic in between."""
    x = b.pick(is_float)
    if x is None:
        return
    y = b.pick(lambda v: v.dtype == "f" and v.shape == x.shape) or x
    other = b.constant(np.float32(0.1))
    test = b.add(b.one_of(["Greater", "Less"]), [x, other], x.shape, "b")
    if b.chance(0.4):
        test = b.add("Not", [test], x.shape, "b")
    if b.chance(0.4):
        also = b.add(b.one_of(["Greater", "Less"]), [y, b.constant(np.float32(-0.2))], x.shape, "b")
        test = b.add(b.one_of(["And", "Or", "Xor"]), [test, also], x.shape, "b")
    b.add("Where", [test, y, b.one_of([x, other])], x.shape)


def cast(b: Builder) -> None:
    """Cast there and back; a bool becomes a number."""
    x = b.pick(lambda v: v.dtype in "fb")
    if x is not None:
        there = b.one_of([10, 11]) if x.dtype == "f" else 6
        b.add("Cast", [b.node("Cast", [x], to=there)[0]], x.shape, to=1)


def matmul(b: Builder) -> None:
    """Multiply by a weight, from either side or in batches, with or without a bias."""
    x = b.pick(of_rank(2, 3, 4))
    if x is None:
        return
    inner, width = x.fixed(-1), int(b.random.choice([3, 8, 16]))
    if x.rank == 3 and b.chance(0.2):
        rows = int(b.random.choice([4, 8]))
        b.add("MatMul", [b.weight(rows, x.fixed(1)), x], (x.shape[0], rows, inner))
        return
    stacked = (x.fixed(1),) if x.rank > 2 and x.rank == 4 and b.chance(0.3) else ()
    shape = (*x.shape[:-1], width)
    product = b.add("MatMul", [x, b.weight(*stacked, inner, width)], shape)
    if b.chance(0.5):
        bias = b.weight(width, scale=0.2)
        b.add("Add", b.one_of([[product, bias], [bias, product]]), shape)


def attention(b: Builder) -> None:
    """Multiply two values with each other, as attention does."""
    x = b.pick(of_rank(3))
    if x is None:
        return
    steps, width = x.fixed(1), x.fixed(2)
    turned = b.add("Transpose", [x], (x.shape[0], width, steps), perm=[0, 2, 1])
    scores = b.add("MatMul", [x, turned], (x.shape[0], steps, steps))
    scaled = b.add("Mul", [scores, b.constant(np.float32(width**-0.5))], scores.shape)
    b.add("MatMul", [b.add("Softmax", [scaled], scaled.shape, axis=2 if b.opset < 13 else -1), x], x.shape)


def gemm(b: Builder) -> None:
    """Add a Gemm with its alphas, transposed weights and all forms of bias."""
    x = b.pick(of_rank(2))
    if x is None:
        return
    inner, width, turned = x.fixed(1), int(b.random.choice([4, 8, 16])), b.chance(0.5)
    weight = b.weight(width, inner) if turned else b.weight(inner, width)
    bias = b.one_of([[], [b.weight(width, scale=0.3)], [b.weight(1, width, scale=0.3)], [b.weight(scale=0.3)]])
    attributes = b.one_of([{}, {}, {"alpha": 0.5}, {"alpha": 2.0, "beta": 0.5}])
    b.add("Gemm", [x, weight, *bias], (x.shape[0], width), transB=int(turned), **attributes)


def conv(b: Builder) -> None:
    """Add a convolution of one or two axes: grouped, depthwise, dilated, strided, padded."""
    x = b.pick(lambda v: of_rank(3, 4)(v) and min(v.fixed(axis) for axis in range(2, v.rank)) >= 3)
    if x is None:
        return
    channels, spatial = x.fixed(1), x.rank - 2
    groups = b.one_of([1, 1, 1, channels, 2 if channels % 2 == 0 else 1])
    width = groups * int(b.one_of([1, 2])) if groups > 1 else int(b.random.choice([4, 8]))
    kernel, pad, stride = int(b.one_of([1, 3])), int(b.one_of([0, 1])), int(b.one_of([1, 1, 2]))
    roomy = min(x.fixed(axis) for axis in range(2, x.rank)) >= 5
    dilation = 2 if kernel == 3 and pad == 1 and roomy and b.chance(0.2) else 1
    reach = dilation * (kernel - 1)
    sizes = [(x.fixed(axis) + 2 * pad - reach - 1) // stride + 1 for axis in range(2, x.rank)]
    bias = [b.weight(width, scale=0.2)] if b.chance(0.6) else []
    out = b.add(
        "Conv", [x, b.weight(width, channels // groups, *[kernel] * spatial), *bias], (x.shape[0], width, *sizes),
        group=groups, kernel_shape=[kernel] * spatial, pads=[pad] * (2 * spatial), strides=[stride] * spatial,
        dilations=[dilation] * spatial,
    )  # fmt: skip
    if b.chance(0.5):
        b.add(b.one_of(["Relu", "Sigmoid", "LeakyRelu"]), [out], out.shape)


def conv_transpose(b: Builder) -> None:
    """Add a transposed convolution."""
    x = b.pick(of_rank(4))
    if x is None:
        return
    width = int(b.random.choice([2, 4]))
    shape = (x.shape[0], width, x.fixed(2) * 2, x.fixed(3) * 2)
    weight = b.weight(x.fixed(1), width, 2, 2)
    b.add("ConvTranspose", [x, weight], shape, kernel_shape=[2, 2], strides=[2, 2])


def pool(b: Builder) -> None:
    """Pool, locally or globally."""
    x = b.pick(lambda v: of_rank(4)(v) and min(v.fixed(2), v.fixed(3)) >= 2)
    if x is None:
        return
    op_type = b.one_of(["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"])
    if op_type.startswith("Global"):
        b.add(op_type, [x], (*x.shape[:2], 1, 1))
    else:
        attributes: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
        b.add(op_type, [x], (*x.shape[:2], x.fixed(2) // 2, x.fixed(3) // 2), **attributes)


def normalize(b: Builder) -> None:
    """Normalize in one of the ways that networks do."""
    kind = b.one_of(_NORMS)
    if kind in {"Softmax", "LogSoftmax"}:
        x = b.pick(of_rank(2, 3, 4))
        if x is not None:
            b.add(kind, [x], x.shape, axis=x.rank - 1 if b.opset < 13 else b.one_of([-1, 1]))
        return
    x = b.pick(of_rank(4) if kind in {"InstanceNormalization", "LRN"} else of_rank(2, 3, 4))
    if x is None:
        return
    channels, last = x.fixed(1), x.fixed(-1)
    if kind == "LRN":
        b.add(kind, [x], x.shape, size=3)
    elif kind == "InstanceNormalization":
        b.add(kind, [x, b.weight(channels, scale=0.5), b.weight(channels, scale=0.5)], x.shape)
    elif kind == "BatchNormalization":
        mean, variance = b.weight(channels, scale=0.1), b.constant(b.random.random(channels) + 0.5)
        b.add(kind, [x, b.weight(channels, scale=0.5), b.weight(channels, scale=0.5), mean, variance], x.shape)
    elif kind == "LayerNormalization" and b.opset >= 17:
        b.add(kind, [x, b.weight(last, scale=0.5), b.weight(last, scale=0.5)], x.shape, axis=-1)
    else:
        mean_of = _reduced(b, "ReduceMean", x, x.rank - 1)
        centred = b.add("Sub", [x, mean_of], x.shape)
        square = b.add("Pow", [centred, b.constant(np.float32(2))], x.shape)
        spread = b.add(
            "Add", [_reduced(b, "ReduceMean", square, x.rank - 1), b.constant(np.float32(1e-5))], mean_of.shape
        )
        scaled = b.add("Div", [centred, b.add("Sqrt", [spread], mean_of.shape)], x.shape)
        b.add("Mul", [scaled, b.weight(last, scale=0.8)], x.shape)


def _reduced(b: Builder, op_type: str, x: Value, axis: int, *, keep: bool = True) -> Value:
    shape = [size for place, size in enumerate(x.shape) if place != axis or keep]
    if keep:
        shape[axis] = 1
    since = 13 if op_type == "ReduceSum" else 18
    return b.with_axes(op_type, x, [axis], shape, since, keepdims=int(keep))


def reduce(b: Builder) -> None:
    """Reduce one axis that is not the first."""
    x = b.pick(of_rank(3, 4))
    if x is None:
        return
    op_type = b.one_of(_REDUCTIONS)
    _reduced(b, op_type, x, int(b.random.integers(1, x.rank)), keep=b.chance(0.5))


def transpose(b: Builder) -> None:
    """Turn the axes behind the first."""
    x = b.pick(lambda v: v.dtype == "f" and v.rank >= 3)
    if x is not None:
        order = [0, *(int(axis) + 1 for axis in b.random.permutation(x.rank - 1))]
        b.add("Transpose", [x], [x.shape[axis] for axis in order], perm=order)


OPERATORS: tuple[tuple[Operator, float], ...] = (
    (unary, 6), (positive, 2), (clip, 1), (prelu, 1), (with_constant, 3), (of_two, 3), (where, 1.5), (cast, 1),
    (matmul, 6), (attention, 1), (gemm, 4), (conv, 6), (conv_transpose, 1), (pool, 2), (normalize, 3), (reduce, 2),
    (transpose, 1.5),
)  # fmt: skip
"""Each with how often it is drawn."""
