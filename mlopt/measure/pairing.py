"""Two models' outputs made comparable where their sizes differ: from sample to sample, or between the models.

What one model finds and the other does not must count as an error, and must not shift what comes after it. So:

- Detections, which are boxes [found, 4] and whatever else has as many rows (scores, classes, masks), or all of it in
  one output [found, 5 to 7]: each of the expected ones, the surest first, takes the box that overlaps it most, if the
  intersection is at least half the union and the class is the same. The order of rows plays no part.
- Rows [found, 3] of integers, which are a NonMaxSuppression's own: equal rows are matched.
- Anything else (text of several lengths): by position, and a sample of another size is wrong as a whole.

A row without a partner stands opposite nothing: a zero, or, of what is no floating-point number, something unequal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.data.ragged import is_ragged, ragged

Array = NDArray[Any]
Outputs = Mapping[str, Array]
Matches = list[tuple[int, int]]

IOU = 0.5
_ALONE = -1
_NMS_COLUMNS = 3
_BY_POSITION = "compared by position; a sample on which the two models' sizes differ counts as wrong"
_LEFT = "what only one model finds counts as wrong"


@dataclass(frozen=True)
class Paired:
    """Outputs of one shape per sample, and how they came to it."""

    expected: Outputs
    got: Outputs
    matched: float | None
    """The share of the rows of both models that found each other; None if no output holds detections."""
    how: tuple[str, ...]
    """In words, for each group of outputs whose size is not fixed."""


def paired(expected: Outputs, got: Outputs) -> Paired:
    """Pair the outputs of both models, {name: [samples, ...] or ragged}, of the same names and numbers of samples.

    Outputs of fixed shapes are left as they are, unless they hold detections, of different numbers or
    the surest first.
    """
    ranked = _ranked(expected)
    loose = [name for name in expected if name in ranked or _loose(expected[name], got[name])]
    if not loose or any(len(expected[name]) != len(got[name]) for name in loose):
        return Paired(expected, got, None, ())
    a, b = {}, {}
    for name in loose:
        rank = max(part.ndim for side in (expected, got) for part in side[name])
        a[name], b[name] = (_same_rank(list(side[name]), rank) for side in (expected, got))
    pairs: dict[str, tuple[Array, Array]] = {}
    shares, how = [], []
    for group in _groups(a, b):
        finder = _finder(group, a)
        sides = [{name: side[name] for name in group} for side in (a, b)]
        if finder is None and not any(is_ragged(each[name]) for each in (expected, got) for name in group):
            continue  # of fixed size in both, and not the same: the interface was changed
        matches = None if finder is None else [finder.match(*both) for both in _by_sample(*sides)]
        pairs |= {name: _opposite(a[name], b[name], matches) for name in group}
        if matches is not None:
            shares.append(_share(matches))
        how.append(f"{', '.join(map(repr, group))}: {_BY_POSITION if finder is None else finder.how}")
    new = [{name: pairs[name][place] if name in pairs else side[name] for name in side}
           for place, side in enumerate((expected, got))]  # fmt: skip
    return Paired(new[0], new[1], min(shares, default=None), tuple(how))


def _by_sample(*sides: Mapping[str, list[Array]]) -> Iterator[tuple[dict[str, Array], ...]]:
    for number in range(len(next(iter(sides[0].values())))):
        yield tuple({name: parts[number] for name, parts in side.items()} for side in sides)


def _share(matches: Sequence[Matches]) -> float:
    rows = [pair for of_one in matches for pair in of_one]
    both = sum(_ALONE not in pair for pair in rows)
    return 2 * both / (len(rows) + both) if rows else 1.0


def _ranked(outputs: Outputs) -> frozenset[str]:
    """Return outputs [samples, found, ...] that hold a fixed number of detections, the surest first.

    Which comes first may change by a rounding, so these are matched, too.
    """
    plain = {name: array for name, array in outputs.items() if not is_ragged(array) and array.ndim >= 2 and array.size}
    for array in plain.values():
        if array.ndim == 2 and _is_float(array) and (np.diff(array, axis=1) <= 0).all() and np.ptp(array) > 0:
            beside = {name for name, other in plain.items() if other.shape[:2] == array.shape}
            boxes = (plain[name] for name in beside if plain[name].shape[2:] == (4,) and _is_float(plain[name]))
            if any(_is_corners(each.reshape(-1, 4)) for each in boxes):
                return frozenset(beside)
    return frozenset()


def _loose(expected: Array, got: Array) -> bool:
    return is_ragged(expected) or is_ragged(got) or expected.shape[1:] != got.shape[1:]


def _same_rank(parts: list[Array], rank: int) -> list[Array]:
    """Put back the axis of one row that looked like a batch where a model always found one thing."""
    return [part.reshape((1,) * (rank - part.ndim) + part.shape) for part in parts]


def _groups(a: Mapping[str, list[Array]], b: Mapping[str, list[Array]]) -> list[list[str]]:
    """Return the names of outputs that have equally many rows, on every sample and in both models."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name in a:
        rows = tuple(part.shape[0] if part.ndim else _ALONE for part in (*a[name], *b[name]))
        groups.setdefault(rows, []).append(name)
    return list(groups.values())


@dataclass(frozen=True)
class _Finder:
    """Where boxes, scores and classes stand in a group of outputs; without ``boxes``, rows are matched by equality."""

    how: str
    boxes: str
    first: int = 0
    """The column in which a box begins."""
    centred: bool = False
    score: tuple[str, int] | None = None
    classes: tuple[str, int] | None = None
    by_iou: bool = True

    def match(self, a: Mapping[str, Array], b: Mapping[str, Array]) -> Matches:
        """Return the pairs of rows of one sample, in the order of ``a``, then those that only ``b`` has."""
        if all(np.array_equal(a[name], b[name]) for name in a):
            return [(row, row) for row in range(len(a[self.boxes]))]
        fit = _overlap(self._corners(a), self._corners(b)) if self.by_iou else _equal(a[self.boxes], b[self.boxes])
        if self.classes is not None:
            mine, other = (_column(side, *self.classes) for side in (a, b))
            fit = np.where(mine[:, None] == other[None, :], fit, 0.0)
        order = np.arange(len(fit))
        if self.score is not None:
            order = np.argsort(-_column(a, *self.score).astype(np.float64), kind="stable")
        partner = np.full(len(fit), _ALONE)
        for row in order.tolist() if fit.size else ():
            best = int(fit[row].argmax())
            if fit[row, best] >= IOU:
                partner[row] = best
                fit[:, best] = 0.0
        left = sorted(set(range(len(b[self.boxes]))) - set(partner.tolist()))
        return [*enumerate(partner.tolist()), *((_ALONE, row) for row in left)]

    def _corners(self, side: Mapping[str, Array]) -> Array:
        boxes = side[self.boxes][:, self.first : self.first + 4].astype(np.float64)
        if not self.centred:
            return boxes
        return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)


def _finder(group: Sequence[str], found: Mapping[str, list[Array]]) -> _Finder | None:
    """Say how the rows of a group are told apart, by what the expected outputs look like; None: by their position."""
    rows = {name: _all_rows(found[name]) for name in group}
    score = next(((n, 0) for n in group if _is_float(rows[n]) and rows[n].shape[1] == 1), None)
    whole = next(((n, 0) for n in group if rows[n].dtype.kind in "iuU" and rows[n].shape[1] == 1), None)
    for name, values in rows.items():
        columns = values.shape[1]
        if not _is_float(values) or found[name][0].ndim != 2 or not 4 <= columns <= 7 or not len(values):
            continue
        for first in range(2 if columns > 4 else 1):
            rest = [c for c in range(columns) if not first <= c < first + 4]
            box = values[:, first : first + 4]
            certain = next(((name, c) for c in rest if _is_share(values[:, c])), score)
            if certain is None and not _is_corners(box):
                continue
            if _is_corners(box) or _is_centred(box):
                own = ((name, c) for c in rest if (name, c) != certain and _is_whole(values[:, c]))
                classes = whole or next(own, None)
                how = f"boxes are matched by their overlap (IoU >= {IOU:g}{' and class' if classes else ''}); {_LEFT}"
                return _Finder(how, name, first, not _is_corners(box), certain, classes)
    for name, values in rows.items():
        if values.dtype.kind in "iu" and found[name][0].ndim == 2 and values.shape[1] == _NMS_COLUMNS:
            return _Finder(f"equal rows are matched; {_LEFT}", name, by_iou=False)
    return None


def _all_rows(parts: Sequence[Array]) -> Array:
    """Join the rows of all samples, [rows, values of a row]."""
    if not parts[0].ndim:
        return np.stack(parts).reshape(len(parts), 1)
    flat = [part.reshape(len(part), -1) for part in parts if part.size]
    width = min((part.shape[1] for part in flat), default=0)
    return np.concatenate([part[:, :width] for part in flat]) if flat else np.zeros((0, 0), parts[0].dtype)


def _is_float(values: Array) -> bool:
    return values.dtype.kind == "f" and bool(np.isfinite(values).all())


def _is_corners(box: Array) -> bool:
    return bool(((box[:, 2] >= box[:, 0]) & (box[:, 3] >= box[:, 1])).all() and (box[:, 2:] > box[:, :2]).any())


def _is_centred(box: Array) -> bool:
    """Whether a width and a height come last; rows that sum to 1 are probabilities of four classes."""
    return bool((box[:, 2:] >= 0).all() and (box[:, 2:] > 0).any()) and not np.allclose(box.sum(axis=1), 1, atol=1e-3)


def _is_share(column: Array) -> bool:
    return bool(((column >= 0) & (column <= 1)).all()) and not _is_whole(column)


def _is_whole(column: Array) -> bool:
    return bool((column == np.round(column)).all())


def _column(side: Mapping[str, Array], name: str, column: int) -> Array:
    values = side[name]
    return values.reshape(len(values), -1)[:, column] if values.size else np.zeros(len(values), values.dtype)


def _overlap(a: Array, b: Array) -> Array:
    """Return the intersection over the union of each box of ``a`` with each of ``b``, both [boxes, 4] as corners."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    sizes = [np.clip(side[:, 2:] - side[:, :2], 0, None).prod(axis=1) for side in (a, b)]
    union = sizes[0][:, None] + sizes[1][None, :] - shared
    same = (a[:, None] == b[None, :]).all(axis=2)  # boxes without an area, too
    return np.where(same, 1.0, np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def _equal(a: Array, b: Array) -> Array:
    return np.asarray((a[:, None] == b[None, :]).all(axis=2), np.float64)


def _opposite(a: list[Array], b: list[Array], matches: Sequence[Matches] | None) -> tuple[Array, Array]:
    """Give both arrays of each sample one shape and, where rows were matched, one order."""
    new = [_one_sample(one, other, None if matches is None else matches[number])
           for number, (one, other) in enumerate(zip(a, b, strict=True))]  # fmt: skip
    return ragged([one for one, _ in new]), ragged([other for _, other in new])


def _one_sample(one: Array, other: Array, matches: Matches | None) -> tuple[Array, Array]:
    if matches is None or one.shape[1:] != other.shape[1:]:
        if one.shape == other.shape:
            return one, other
        if not one.size:
            return np.zeros(other.shape, one.dtype), np.ones(other.shape, other.dtype)
        return one, _unequal(one)
    rows = np.array(matches, np.intp).reshape(-1, 2).T
    x, y = (part[index] if len(part) else np.zeros((len(index), *part.shape[1:]), part.dtype)
            for part, index in zip((one, other), rows, strict=True))  # fmt: skip
    lost, added = ((index == _ALONE).reshape(-1, *[1] * (one.ndim - 1)) for index in (rows[1], rows[0]))
    return np.where(added, _unequal(y), x), np.where(lost, _unequal(x), y)


def _unequal(values: Array) -> Array:
    """Return what stands for nothing beside ``values``: zeros, or of a kind without small errors other values."""
    if values.dtype.kind == "U":
        return np.array(["" if text else "?" for text in values.flat], "U1").reshape(values.shape)
    other: Array = values == 0 if values.dtype.kind in "biu" else np.zeros(values.shape)
    return np.asarray(other, values.dtype)
