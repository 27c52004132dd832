"""Labels as files write them, to the numbers that a metric compares."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np

from mlopt.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlopt.data.dataset import Array

_OTHERWISE = "give one label a sample, or arrays of labels as .npz or through a Python function"
_FIXES: dict[type, str] = {
    bool: "write true as 1 and false as 0, as in the other rows",
    float: "repair it, or leave the sample out",
}
"""What to do about a label of this kind."""
_ABSENT = frozenset({"nan", "NaN", "NA", "N/A", "null", "None", "none", "?", "-"})
_PRINTED = 1e300


def label_array(
    values: Sequence[object], where: str, lines: Sequence[int] | None = None, classes: Sequence[str] = ()
) -> Array:
    """Return labels as numbers, shape [samples]; ``lines`` says where in the file each of them stands.

    Integers (also as text) stay what they are, other numbers become float32, true and false stay so, and names become
    the position in ``classes``, or in their sorted list, as class folders do. Anything else, or a mixture, raises
    ``DataError``.
    """
    if values and all(isinstance(value, bool) for value in values):
        return np.array(values, dtype=bool)
    if classes and all(value in classes for value in values):  # names may look like numbers
        return numbered([str(value) for value in values], classes, where)
    numbers = [_number(value) for value in values]
    for place, (value, number) in enumerate(zip(values, numbers, strict=True)):
        if number is None and not isinstance(value, str):
            raise DataError(
                "a label is missing" if value is None else "a label is neither a number nor a name",
                where=_at(place, where, lines), got=json.dumps(value)[:80], expected="one number or one name",
                fix="leave the sample out" if value is None else _FIXES.get(type(value), _OTHERWISE),
            )  # fmt: skip
    if all(number is not None for number in numbers):
        return _as_numbers(numbers, where, lines)
    named = [number is None for number in numbers]
    if not all(named):
        place = named.index(sum(named) * 2 < len(named))  # the first of the kind that is rarer
        raise DataError(
            "labels are partly numbers and partly names", where=_at(place, where, lines), got=repr(values[place]),
            expected=f"numbers only, or names only; {sum(named)} of {len(named)} are names",
            fix="repair this label, or leave the sample out" if values[place] in _ABSENT else
            "write all labels as the model's class numbers",
        )  # fmt: skip
    return numbered([str(value) for value in values], classes, where)


def _as_numbers(numbers: Sequence[int | float | None], where: str, lines: Sequence[int] | None) -> Array:
    whole = all(isinstance(number, int) for number in numbers)
    most = 2**63 - 1 if whole else float(np.finfo(np.float32).max)
    for place, number in enumerate(numbers):
        if number is not None and abs(number) > most:
            raise DataError(
                f"a label does not fit into {'64 bits' if whole else 'float32'}", where=_at(place, where, lines),
                got=f"{number:.6g}" if abs(number) < _PRINTED else "a number of very many digits",
                fix="repair it, or leave the sample out",
            )  # fmt: skip
    return np.array(numbers, dtype=np.int64 if whole else np.float32)


def _at(place: int, where: str, lines: Sequence[int] | None) -> str:
    return f"{where}: label {place + 1}" if lines is None else f"{where}:{lines[place]}"


def numbered(names: Sequence[str], classes: Sequence[str], where: str) -> Array:
    """Return the number of each name, shape [samples]: its place in ``classes``, or without them ``class_numbers``."""
    if not classes:
        return class_numbers(names)
    places = {name: place for place, name in enumerate(classes)}
    if unknown := next((name for name in names if name not in places), None):
        shown = ", ".join(classes)
        raise DataError("a label is none of the classes", where=where, got=unknown[:80], expected=shown[:400],
                        fix="correct `classes`, or the label")  # fmt: skip
    return np.array([places[name] for name in names], dtype=np.int64)


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
