"""Which samples stand for all: a part of them that is like the whole, whatever order they come in.

Data come sorted by class, class by class in turn, or hour by hour, and every rule that goes by position meets an order
that it fails on: the first half, every third, eight at equal distances. So rows are chosen in an order of their own: a
fixed shuffle, in which classes, where there are labels, come up as evenly as can be. Whatever it begins with is like
the whole: among the first k rows each class is within one of its share, and so the two parts of a split have each
class in its share, too. The order follows from the number of rows and from their labels alone, so it repeats itself.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlopt.data.dataset import Array

if TYPE_CHECKING:
    from mlopt.data.dataset import Dataset

Rows = NDArray[np.intp]
_SEED = 0


def order(count: int, labels: Array | None = None) -> Rows:
    """Return all of ``count`` rows in an order of which every first part is like the whole.

    ``labels``, [count], are classes if they are whole numbers or text; others play no part.
    """
    shuffled = np.random.default_rng(_SEED).permutation(count)
    classes = None if labels is None else _classes(labels, count)
    if classes is None:
        return shuffled
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    sizes = np.bincount(classes)
    starts = np.cumsum(sizes) - sizes
    return by_class[[starts[which] + place for which, place in _turns(sizes.tolist())]] if count else shuffled


def typical(count: int, wanted: int, labels: Array | None = None) -> Rows:
    """Return ``wanted`` rows that are like the whole, in the order of the data; all if there are no more."""
    return np.arange(count) if wanted >= count else np.sort(order(count, labels)[:wanted])


def some(data: Dataset, wanted: int) -> Rows:
    """Return rows of a data set that are like the whole; see ``typical``."""
    return typical(data.count, wanted, data.labels)


def part(
    count: int, edges: tuple[float, float], limit: int | None, labels: Array | None = None,
    same: Sequence[Hashable] | None = None,
) -> Rows:  # fmt: skip
    """Return the rows of a part of the whole, such as (0.0, 0.5), and of these at most ``limit``; in the data's order.

    Adjacent parts share no row and leave none out. Rows that are equal in ``same`` go to one part, so that a sample
    that occurs twice is not in two of them.
    """
    first: dict[Hashable, int] = {}
    of: Sequence[int] = range(count)
    if same is not None:
        of = [first.setdefault(key, row) for row, key in enumerate(same)]
    if len(first) == 1:  # all alike: whoever compares the parts will say so
        of = range(count)
    leaders = np.unique(np.asarray(of, dtype=np.intp))
    turn = leaders[order(len(leaders), None if labels is None else labels[leaders])]
    low, high = (round(edge * len(leaders)) for edge in edges)
    followers: dict[int, list[int]] = {}
    for row, leader in enumerate(of):
        followers.setdefault(leader, []).append(row)
    chosen = [row for leader in turn[low:high].tolist() for row in followers[leader]]
    return np.sort(np.array(chosen[:limit], dtype=np.intp))


def _classes(labels: Array, count: int) -> Rows | None:
    """Return the class numbers, [count]; None if these labels are no classes: several per row, or measures."""
    flat = labels.reshape(-1) if labels.size == count else labels
    if flat.shape != (count,):
        return None
    if flat.dtype.kind == "f" and not np.array_equal(flat, np.round(flat)):
        return None
    return np.unique(flat, return_inverse=True)[1] if flat.dtype.kind in "biufUS" else None


def _turns(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return (class, place in it) for all members, so that of the first k each class has its share, give or take one.

    A class that has the share s of all owes its member i within the turns floor(i / s) to ceil((i + 1) / s) - 1: of
    those that may take a turn, the one whose time ends first takes it, as in fair scheduling.
    """
    total, taken = sum(sizes), []
    waiting = [(0, which, 0) for which in range(len(sizes))]
    ready: list[tuple[int, int, int]] = []
    for turn in range(total):
        while waiting and waiting[0][0] <= turn:
            _, which, place = heapq.heappop(waiting)
            heapq.heappush(ready, (-(-(place + 1) * total // sizes[which]), which, place))
        _, which, place = heapq.heappop(ready)
        taken.append((which, place))
        if place + 1 < sizes[which]:
            heapq.heappush(waiting, ((place + 1) * total // sizes[which], which, place + 1))
    return taken
