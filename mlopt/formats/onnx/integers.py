"""How far integers reach inside a graph, for what the inputs hold: not every runtime computes them in 64 bits.

Followed are sums, products, quotients, remainders and extremes of inputs and constants; of anything else (lengths, what
a table gives, sums over an axis) nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from mlopt.formats.onnx.indices import keeps_values

if TYPE_CHECKING:
    import onnx

Range = tuple[int, int]
"""The least and the largest value."""
_CORNERS: Mapping[str, Callable[[int, int], int]] = {
    "Add": lambda a, b: a + b, "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b,
    "Div": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),
}  # fmt: skip
"""Operators that are largest and smallest at the ends of their operands, if no divisor is zero."""
_COMPARED = frozenset({"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"})
_EXTREMES, _ENDS = frozenset({"ReduceMax", "ReduceMin"}), frozenset({"ReduceSum"})
_OF_ONE = _EXTREMES | _ENDS | {"Neg"}
_KNOWN = frozenset({*_CORNERS, "Mod", *_COMPARED, *_OF_ONE})
_INT32, _INT64, _UINT32, _UINT64 = 6, 7, 12, 13
_WIDE = (_INT64, _UINT32, _UINT64)
_INTEGERS = (_INT32, *_WIDE)
_MOST_VALUES = 4096
"""Of a larger constant nothing is said: it is a table."""


@dataclass(frozen=True)
class Reached:
    """What an operator takes or gives."""

    operator: str
    low: int
    high: int


@dataclass(frozen=True)
class Arithmetic:
    """The part of a graph that computes with integers of its inputs, to be asked for any feed."""

    inputs: tuple[str, ...]
    """The integer inputs that it takes."""
    constants: Mapping[str, Range]
    steps: tuple[tuple[str, tuple[str, ...], str, bool], ...]
    """Operator, operands, result, and whether that is computed in 64 bits, in the order in which they run."""

    def beyond(self, fed: Mapping[str, Range], bits: int, of: Mapping[str, int] = {}) -> Reached | None:
        """Return the first value that may not fit in so many bits, for what the inputs hold.

        ``of`` says of operators to which magnitude they take operands; of what is divided, that is the dividend, and of
        what is compared the smaller one.
        """
        least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        known = {**self.constants, **fed}
        for operator, operands, result, wide in self.steps:
            if any(name not in known for name in operands):
                continue
            ranges = [known[name] for name in operands]
            sizes = [max(-low, high) for low, high in ranges]
            size = min(sizes) if operator in _COMPARED else sizes[0]
            if operator in of and size > of[operator]:
                return Reached(operator, *ranges[sizes.index(size)])
            found = _reached(operator, ranges)
            if found is not None:
                known[result] = found
            for low, high in ranges if found is None else (*ranges, found):
                if wide and operator not in _COMPARED and (low < least or high > most):
                    return Reached(operator, low, high)
        return None


def arithmetic(graph: onnx.GraphProto) -> Arithmetic:
    """Return what a graph computes with the integers of its inputs, outside of branches and loops."""
    constants = _constants(graph)
    types = {value.name: value.type.tensor_type.elem_type for value in graph.input if value.name not in constants}
    roots = {name: frozenset((name,)) for name, kind in types.items() if kind in _INTEGERS}
    types = {name: types[name] for name in roots} | {name: kind for name, (kind, _) in constants.items()}
    steps, used = [], frozenset[str]()
    for node in graph.node:
        same = keeps_values(node)
        operands = tuple(node.input[:1] if same or node.op_type in _OF_ONE else node.input)
        if node.domain not in ("", "ai.onnx") or not (same or node.op_type in _KNOWN):
            continue
        if not all(name in types for name in operands):
            continue
        (result,) = node.output
        kind = next((each.i for each in node.attribute if each.name == "to"), types[operands[0]])
        roots[result] = frozenset().union(*(roots.get(name, ()) for name in operands))
        used = used if same else used | roots[result]
        steps.append(("same" if same else node.op_type, operands, result, kind in _WIDE))
        if node.op_type not in _COMPARED | _ENDS:
            types[result] = kind
    return Arithmetic(tuple(sorted(used)), {name: reach for name, (_, reach) in constants.items()}, tuple(steps))


def _reached(operator: str, ranges: list[Range]) -> Range | None:
    """Return the range of a result; None where a divisor may be zero, and of what is not followed."""
    low, high = ranges[0]
    if operator in _COMPARED | _ENDS:
        return None
    if operator in {"same", *_EXTREMES}:
        return low, high
    if operator == "Neg":
        return -high, -low
    other = ranges[1]
    if operator in ("Div", "Mod") and other[0] <= 0 <= other[1]:
        return None
    if operator == "Mod":
        most = max(map(abs, other)) - 1
        return -most, most
    corners = [_CORNERS[operator](a, b) for a, b in product((low, high), other)]
    return min(corners), max(corners)


def _constants(graph: onnx.GraphProto) -> dict[str, tuple[int, Range]]:
    """Return type and range of the small integer constants, by name; a default that may be fed is none."""
    import onnx
    from onnx import numpy_helper

    fed = {value.name for value in graph.input}
    tensors = [(tensor.name, tensor) for tensor in graph.initializer if tensor.name not in fed]
    for node in graph.node:
        value = next((each.t for each in node.attribute if each.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            tensors.append((node.output[0], value))
    found = {}
    for name, tensor in tensors:
        if tensor.data_type not in _INTEGERS or tensor.data_location == onnx.TensorProto.EXTERNAL:
            continue
        array = numpy_helper.to_array(tensor)
        if 0 < array.size <= _MOST_VALUES:
            found[name] = (tensor.data_type, (int(array.min()), int(array.max())))
    return found
