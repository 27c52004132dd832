"""From arrays of rows to the numbers that are sketched, and the counts beside them: pure.

Values become float32, as sketches keep them; what is too large for that counts as infinite. Outputs are rounded to
three digits: a model's last bits differ with the size of a batch, and are no change of what it answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import DataError
from mlopt.data.ragged import is_ragged
from mlopt.sketches.plan import Bounds, TensorPlan

Array = NDArray[Any]
Floats = NDArray[np.float32]
PER_ROW = 64
"""Values of a row that are sketched where all share one sketch: every so manieth, from a start that moves on."""
_MOVE = 7919
_CACHED = 1 << 16
"""Values at a time: half a MiB of doubles."""
_HALF = np.uint32(1 << 11)
"""Of the 23 bits of a float32 beyond its first, 11 are kept."""


@dataclass(frozen=True)
class SketchColumn:
    """What one part gets of some rows: finite numbers, and how many rows have what is none."""

    values: Floats
    nan: int = 0
    inf: int = 0
    minus_inf: int = 0
    below: int | None = None
    above: int | None = None


@dataclass(frozen=True)
class Columns:
    """What one tensor gets of some rows."""

    rows: int
    parts: tuple[SketchColumn, ...]
    empty: int = 0
    classes: NDArray[np.int64] | None = None
    """How many rows each class is the largest of."""
    distinct: tuple[int | str, ...] = ()
    """Values that differ from each other."""


def columns(plan: TensorPlan, array: Array, seen: int) -> Columns:
    """Return what ``array``, [rows, ...] or ragged, gives to a plan; ``seen`` rows came before.

    Raises ``DataError`` where the rows are not those that the plan is for.
    """
    if plan.form == "text":
        return _of_texts(plan, array)
    if is_ragged(array):
        return _of_values(plan, [np.ravel(np.asarray(row)) for row in array], seen)
    flat = array.reshape(len(array), -1) if array.size else np.empty((len(array), 0), array.dtype)
    if plan.size is not None and flat.shape[1] != plan.size:
        raise DataError("rows have another size than those of the reference", where=f"{plan.side} '{plan.name}'",
                        got=f"{flat.shape[1]} values", expected=f"{plan.size}")  # fmt: skip
    if plan.form == "features":
        return _of_features(plan, flat)
    return _of_classes(plan, flat) if plan.form == "classes" else _of_values(plan, flat, seen)


def _of_features(plan: TensorPlan, flat: Array) -> Columns:
    numbers = _as_floats(plan, flat)
    finite = np.isfinite(numbers)
    whole = np.asarray(finite.all(axis=0))
    odd = [np.zeros(flat.shape[1], np.int64)] * 3 if whole.all() else list(_odd(numbers, axis=0))
    parts = []
    for place, bounds in enumerate(plan.bounds):
        column = numbers[:, place]
        values = column if whole[place] else column[finite[:, place]]
        parts.append(_column(values, [int(each[place]) for each in odd], _outside(values, bounds)))
    return Columns(len(flat), tuple(parts), distinct=_distinct(plan, flat))


def _of_classes(plan: TensorPlan, flat: Array) -> Columns:
    numbers = _as_floats(plan, flat)
    odd = [int(each.sum()) for each in _by_row(numbers)]
    named = numbers[~np.isnan(numbers).any(axis=1)]
    best = np.partition(named, -2, axis=1)[:, -2:] if len(named) else np.empty((0, 2), np.float32)
    with np.errstate(invalid="ignore"):
        figures = best[:, 1], best[:, 1] - best[:, 0]
    kept = [each[np.isfinite(each)] for each in figures]
    largest = np.bincount(named.argmax(axis=1), minlength=flat.shape[1]) if len(named) else None
    parts = [_column(kept[0], odd, _outside(kept[0], plan.bounds[0])),
             _column(kept[1], [0, 0, 0], _outside(kept[1], plan.bounds[1]))]  # fmt: skip
    return Columns(len(flat), tuple(parts), classes=largest)


def _of_values(plan: TensorPlan, rows: Array | list[Array], seen: int) -> Columns:
    """Sketch some values of each row, and the mean and deviation of all of its finite ones."""
    if isinstance(rows, np.ndarray):
        blocks = [rows] if rows.shape[1] else []
    else:
        blocks = [row[None] for row in rows if len(row)]
    found = [_of_equal(_as_floats(plan, block), seen + place, plan.bounds[0]) for place, block in enumerate(blocks)]
    values, means, deviations = (
        np.concatenate([_NONE, *(figures[at] for figures, _, _ in found)]) for at in range(len(plan.parts))
    )
    odd = [sum(each[at] for _, each, _ in found) for at in range(3)]
    outside = _summed([each for _, _, each in found], plan.bounds[0])
    parts = [_column(values, odd, outside)]
    parts += [
        _column(figures, [0, 0, 0], _outside(figures, bounds))
        for figures, bounds in zip((means, deviations), plan.bounds[1:], strict=True)
    ]
    some = [block[:, _picked(block.shape[1], seen)].ravel() for block in blocks] if plan.counts_distinct else []
    distinct = _distinct(plan, np.concatenate(some)) if some else ()
    return Columns(len(rows), tuple(parts), empty=len(rows) - sum(map(len, blocks)), distinct=distinct)


_NONE = np.empty(0, np.float32)


def _of_equal(
    numbers: Floats, seen: int, bounds: Bounds | None
) -> tuple[tuple[Floats, Floats, Floats], list[int], tuple[int | None, int | None]]:
    """Return of rows of one size: values picked, means and deviations; rows that are not finite; rows out of bounds."""
    odd = [int(each.sum()) for each in _by_row(numbers)]
    picked = numbers[:, _picked(numbers.shape[1], seen)]
    if not any(odd):
        return (picked.ravel(), *_moments(numbers)), odd, _rows_outside(picked, bounds)
    finite = np.isfinite(numbers)
    rows = finite.any(axis=1)
    held = np.ma.masked_array(numbers[rows], ~finite[rows], dtype=np.float64)
    means, deviations = (np.asarray(each, np.float32) for each in (held.mean(axis=1), held.std(axis=1)))
    kept = np.isfinite(picked)
    return (picked[kept], means, deviations), odd, _rows_outside(np.where(kept, picked, np.nan), bounds)


def _moments(numbers: Floats) -> tuple[Floats, Floats]:
    """Return mean and deviation of each row, computed in doubles: a cache's worth of them at a time is far faster."""
    found = np.empty((2, len(numbers)), np.float32)
    at_once = max(1, _CACHED // max(1, numbers.shape[1]))
    for start in range(0, len(numbers), at_once):
        rows = slice(start, start + at_once)
        doubles = numbers[rows].astype(np.float64)
        found[0, rows], found[1, rows] = doubles.mean(axis=1), doubles.std(axis=1)
    return found[0], found[1]


def _picked(size: int, seen: int) -> slice:
    """Return the places of at most ``PER_ROW`` values, evenly apart; where they start depends on the rows before."""
    step = -(-size // PER_ROW)
    return slice(seen * _MOVE % step, None, step)


def _of_texts(plan: TensorPlan, array: Array) -> Columns:
    rows = [_texts(row) for row in array]
    lengths = np.array([sum(map(len, row)) for row in rows if row is not None], np.float32)
    null = sum(row is None for row in rows)
    every = {text for row in rows if row is not None for text in row}
    part = _column(lengths, [null, 0, 0], _outside(lengths, plan.bounds[0]))
    return Columns(len(rows), (part,), empty=int((lengths == 0).sum()), distinct=tuple(sorted(every)))


def _texts(row: Any) -> list[str] | None:
    """Return the texts of a row; None if one of them is null."""
    found = np.ravel(np.asarray(row, dtype=object)).tolist()
    if any(each is None for each in found):
        return None
    return [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in found]


def _as_floats(plan: TensorPlan, array: Array) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = np.ascontiguousarray(array, dtype=np.float32)
    if plan.side == "input" or np.dtype(plan.dtype).kind != "f":
        return numbers
    bits = numbers.view(np.uint32)
    rounded = ((bits + _HALF) & ~np.uint32(2 * _HALF - 1)).view(np.float32)
    return np.where(np.isfinite(numbers), rounded, numbers)


def _odd(numbers: Floats, axis: int) -> Iterator[NDArray[np.int64]]:
    for test in (np.isnan, np.isposinf, np.isneginf):
        yield np.asarray(test(numbers).sum(axis=axis), np.int64)


def _by_row(numbers: Floats) -> list[NDArray[np.bool_]]:
    """Return which rows have NaN, an infinity, and a negative one."""
    if np.isfinite(numbers).all():
        return [np.zeros(len(numbers), bool)] * 3
    return [np.asarray(test(numbers).any(axis=1)) for test in (np.isnan, np.isposinf, np.isneginf)]


def _outside(values: Floats, bounds: Bounds | None) -> tuple[int | None, int | None]:
    if bounds is None:
        return None, None
    return int((values < np.float32(bounds[0])).sum()), int((values > np.float32(bounds[1])).sum())


def _rows_outside(rows: Floats, bounds: Bounds | None) -> tuple[int | None, int | None]:
    """Count the rows with a value below, and above; NaN is neither."""
    if bounds is None:
        return None, None
    low, high = map(np.float32, bounds)
    return int((rows < low).any(axis=1).sum()), int((rows > high).any(axis=1).sum())


def _summed(outside: Sequence[tuple[int | None, int | None]], bounds: Bounds | None) -> tuple[int | None, int | None]:
    return (None, None) if bounds is None else (sum(a or 0 for a, _ in outside), sum(b or 0 for _, b in outside))


def _column(values: Floats, odd: list[int], outside: tuple[int | None, int | None]) -> SketchColumn:
    nan, inf, minus_inf = odd
    return SketchColumn(values, nan, inf, minus_inf, below=outside[0], above=outside[1])


def _distinct(plan: TensorPlan, values: Array) -> tuple[int, ...]:
    return tuple(map(int, np.unique(values))) if plan.counts_distinct else ()
