"""Rows cut into shards, and rows that fail together cut down to those that fail alone. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
_PARTS = 64
"""Shards that a data set is cut into where their size is not given: what a kill loses is at most that part of it."""
_MOST_ROWS = 4096
_MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Span:
    """One shard: rows ``start`` to ``stop``, without the last."""

    number: int
    start: int
    stop: int

    @property
    def rows(self) -> range:
        """Their numbers."""
        return range(self.start, self.stop)


@dataclass(frozen=True)
class Fault:
    """Why something could not be computed, in one line."""

    message: str


def cut(rows: int, size: int) -> tuple[Span, ...]:
    """Return the shards of so many rows: of ``size`` rows each but for the last, in order."""
    return tuple(Span(number, start, min(start + size, rows)) for number, start in enumerate(range(0, rows, size)))


def default_size(rows: int, batch_size: int, row_bytes: int) -> int:
    """Return how many rows a shard has where nobody says: whole batches, few enough to be computed in memory."""
    most = min(_MOST_ROWS, _MOST_BYTES // max(1, row_bytes))
    wanted = max(1, min(math.ceil(rows / _PARTS), most))
    return math.ceil(wanted / batch_size) * batch_size


def apart(
    rows: Sequence[int], attempt: Callable[[Sequence[int]], T | Fault]
) -> Iterator[tuple[Sequence[int], T | Fault]]:
    """Yield runs of rows with what ``attempt`` gave for them: all rows once, in order, a fault only with a single row.

    Rows that fail together are tried in halves, so one bad row of n costs about 2 log2 n attempts.
    """
    if not rows:
        return
    found = attempt(rows)
    if isinstance(found, Fault) and len(rows) > 1:
        half = len(rows) // 2
        yield from apart(rows[:half], attempt)
        yield from apart(rows[half:], attempt)
    else:
        yield rows, found
