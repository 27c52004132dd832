"""Counts of rows that are not as they should be, and how unlikely they are if nothing changed: exact, pure.

That more of the live rows than of the reference's hold NaN is judged by Fisher's exact test. That rows lie beyond
everything in the reference is judged by their order: of rows that are all alike, the k largest are all live ones with
a probability that depends on the two numbers of rows alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from mlopt.monitor.compare import is_comparable
from mlopt.sketches import PartSketch, Sketches, TensorSketch

FALSE_ALARM = 1e-4
"""How often a look at unchanged data may raise an alarm, of all counts together."""
_NEGLIGIBLE = 1e-18


@dataclass(frozen=True)
class Counted:
    """One count of rows, on both sides."""

    side: str
    tensor: str
    part: str
    what: str
    """``NaN``, ``inf``, ``-inf``, ``null``, ``empty``, ``below`` or ``above``."""
    reference: int
    reference_rows: int
    live: int
    live_rows: int
    chance: float
    """Of so many or more, if nothing changed: 0 to 1."""


def counts(reference: Sketches, live: Sketches, *, ranges: bool = True) -> list[Counted]:
    """Return everything that was counted in both; ``ranges`` says whether the live ones know the reference's range."""
    there = {(one.side, one.name): one for one in live.tensors}
    found: list[Counted] = []
    for tensor in reference.tensors:
        other = there.get((tensor.side, tensor.name))
        if other is not None and other.rows and tensor.rows and is_comparable(tensor, other):
            found += _of_tensor(tensor, other, ranges=ranges)
    return found


def unlikely(found: list[Counted], rate: float = FALSE_ALARM) -> list[bool]:
    """Return for each whether chance does not explain it, the rate being that of all together (Bonferroni)."""
    return [one.chance < rate / len(found) for one in found]


def _of_tensor(a: TensorSketch, b: TensorSketch, *, ranges: bool) -> Iterator[Counted]:
    yield _more(a, "", "empty", (a.empty, a.rows, b.empty, b.rows))
    for part, other in zip(a.parts, b.parts, strict=True):
        nan = "null" if a.form == "text" else "NaN"
        for what, before, now in ((nan, part.nan, other.nan), ("inf", part.inf, other.inf),
                                  ("-inf", part.minus_inf, other.minus_inf)):  # fmt: skip
            if a.dtype.startswith(("float", "bfloat")) or what == "null":
                yield _more(a, part.name, what, (before, a.rows, now, b.rows))
        if ranges and part.numbers.n:
            yield from _beyond(a, part, other, b.rows)


def _more(tensor: TensorSketch, part: str, what: str, numbers: tuple[int, int, int, int]) -> Counted:
    before, before_rows, now, now_rows = numbers
    return Counted(
        tensor.side, tensor.name, part, what, reference=before, reference_rows=before_rows, live=now,
        live_rows=now_rows, chance=more_than_before(*numbers),
    )  # fmt: skip


def _beyond(tensor: TensorSketch, part: PartSketch, other: PartSketch, rows: int) -> Iterator[Counted]:
    for what, count in (("below", other.below), ("above", other.above)):
        if count is not None:
            chance = beyond_all(count, rows, tensor.rows)
            yield Counted(
                tensor.side, tensor.name, part.name, what, reference=0, reference_rows=tensor.rows, live=count,
                live_rows=rows, chance=chance,
            )  # fmt: skip


def more_than_before(before: int, before_rows: int, now: int, now_rows: int) -> float:
    """Return the chance of ``now`` or more of the rows, if all are alike: Fisher's exact test, one-sided."""
    hits, rows = before + now, before_rows + now_rows
    if now * rows <= hits * now_rows:
        return 1.0
    term = math.exp(_choose(now_rows, now) + _choose(before_rows, before) - _choose(rows, hits))
    total = term
    for count in range(now, min(hits, now_rows)):
        left = before_rows - (hits - count - 1)
        term *= (now_rows - count) * (hits - count) / ((count + 1) * left)
        total += term
        if term < _NEGLIGIBLE * total:
            break
    return min(total, 1.0)


def beyond_all(count: int, rows: int, reference_rows: int) -> float:
    """Return the chance that the largest ``count`` or more of all rows are all of the ``rows`` that are live."""
    return math.exp(_choose(rows, count) - _choose(rows + reference_rows, count)) if count else 1.0


def _choose(n: int, k: int) -> float:
    """Return the logarithm of the number of ways to take k of n."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
