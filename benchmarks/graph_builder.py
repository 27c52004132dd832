"""What a random graph is made of: values with shapes, weights that may be shared, and one node after the other.

A value's shape is known to the builder, a free size by its name, so that every operator added is one that fits. The
forms that operators had in earlier versions of ONNX (axes as attributes) are written here, in one place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Size = int | str
DTYPES = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "b": TensorProto.BOOL}
_MOST_ELEMENTS = 3000


@dataclass(frozen=True)
class Value:
    """A tensor: its name, its dtype (``f`` float32, ``i`` int64, ``b`` bool) and its shape."""

    name: str
    shape: tuple[Size, ...]
    dtype: str = "f"

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def fixed(self, axis: int) -> int:
        """Return the size of an axis that is not free; 0 of a free one."""
        size = self.shape[axis]
        return size if isinstance(size, int) else 0

    @property
    def elements(self) -> int:
        """How many elements a sample has; a free size counts as 6."""
        return math.prod(size if isinstance(size, int) else 6 for size in self.shape[1:])


class Builder:
    """A graph that grows. All randomness comes from ``random``."""

    def __init__(self, random: np.random.Generator, opset: int) -> None:
        self.random = random
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray[Any, Any]] = {}
        self.values: list[Value] = []
        self._count = 0

    def name(self, stem: str) -> str:
        """Return a name that is not taken."""
        self._count += 1
        return f"{stem}{self._count}"

    def chance(self, probability: float) -> bool:
        """Return True as often as that."""
        return bool(self.random.random() < probability)

    def one_of(self, options: Sequence[Any]) -> Any:
        """Return one of them."""
        return options[int(self.random.integers(len(options)))]

    def pick(self, fits: Callable[[Value], bool]) -> Value | None:
        """Return a value that fits, the younger the likelier, or None."""
        found = [value for value in self.values if fits(value)]
        if not found:
            return None
        return found[-1 - min(int(self.random.exponential(1.5)), len(found) - 1)]

    def node(self, op_type: str, inputs: Sequence[Value | str], outputs: int = 1, **attributes: Any) -> list[str]:
        """Add a node and return the names of its outputs."""
        names = [self.name("t") for _ in range(outputs)]
        read = [each.name if isinstance(each, Value) else each for each in inputs]
        while read and not read[-1]:
            read.pop()
        label = "" if self.chance(0.3) else self.name(op_type)
        self.nodes.append(helper.make_node(op_type, read, names, name=label, **attributes))
        return names

    def add(
        self, op_type: str, inputs: Sequence[Value | str], shape: Sequence[Size], dtype: str = "f", **attributes: Any
    ) -> Value:
        """Add a node with one output, which others may then read."""
        value = Value(self.node(op_type, inputs, **attributes)[0], tuple(shape), dtype)
        return self.give(value)

    def give(self, value: Value) -> Value:
        """Let others read a value, unless it is too large."""
        if value.elements <= _MOST_ELEMENTS:
            self.values.append(value)
        return value

    def constant(self, array: Any, *, stem: str = "c") -> str:
        """Return the name of a constant: an initializer, or what a Constant node writes."""
        array = np.asarray(array)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        if self.chance(0.2):
            name = self.name(stem)
            self.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array, name)))
            return name
        same = [n for n, w in self.weights.items() if w.dtype == array.dtype and np.array_equal(w, array)]
        if same and self.chance(0.5):
            return same[0]
        name = self.name(stem)
        self.weights[name] = array
        return name

    def weight(self, *shape: int, scale: float | None = None) -> str:
        """Return a weight of that shape: often one that another node reads, too."""
        same = [name for name, array in self.weights.items() if array.shape == shape and array.dtype == np.float32]
        if same and self.chance(0.35):
            return str(self.one_of(same))
        fan_in = math.prod(shape[1:]) if len(shape) > 2 else shape[0] if shape else 1
        size = scale if scale is not None else 1.2 / math.sqrt(max(fan_in, 1))
        return self.constant((self.random.standard_normal(shape) * size).astype(np.float32), stem="w")

    def ints(self, *values: int) -> str:
        """Return an int64 constant of one axis."""
        return self.constant(np.array(values, np.int64))

    def with_axes(
        self, op_type: str, value: Value, axes: Sequence[int], shape: Sequence[Size], since: int, **attributes: Any
    ) -> Value:
        """Add an operator whose axes are an input since opset ``since``, and an attribute before."""
        if self.opset >= since:
            return self.add(op_type, [value, self.ints(*axes)], shape, value.dtype, **attributes)
        return self.add(op_type, [value], shape, value.dtype, axes=list(axes), **attributes)
