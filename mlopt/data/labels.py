"""Labels as files write them, to the numbers that a metric compares."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlopt.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlopt.data.dataset import Array


def label_array(values: Sequence[object], where: str) -> Array:
    """Return labels as numbers, shape [samples].

    Integers (also as text) stay what they are, other numbers become float32, and names become the position in their
    sorted list, as class folders do. A mixture raises ``DataError``.
    """
    numbers = [_number(value) for value in values]
    if all(isinstance(number, int) for number in numbers):
        if any(abs(number) >= 2**63 for number in numbers if number is not None):
            raise DataError("a label does not fit into 64 bits", where=where)
        return np.array(numbers, dtype=np.int64)
    if all(number is not None for number in numbers):
        if any(abs(number) > float(np.finfo(np.float32).max) for number in numbers if number is not None):
            raise DataError("a label does not fit into float32", where=where)
        return np.array(numbers, dtype=np.float32)
    for number, (value, parsed) in enumerate(zip(values, numbers, strict=True), start=1):
        if parsed is not None or not isinstance(value, str):
            raise DataError(
                "labels are partly names and partly something else",
                where=where,
                got=f"{value!r} as label {number}",
                expected="numbers only, or names only",
            )
    return class_numbers([str(value) for value in values])


def class_numbers(names: Sequence[str]) -> Array:
    """Return the position of each name in the sorted list of the different ones, shape [samples]."""
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.int64)


def _number(value: object) -> int | float | None:
    """The finite number that a value is or spells; None for a name."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    for kind in (int, float):
        try:
            number = kind(value) if isinstance(value, str) else value
        except ValueError:
            continue
        return number if isinstance(number, int) or math.isfinite(number) else None
    return None
