"""The smallest set of suspects whose exclusion is enough: pure, and sparing with trials, each of which runs a pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_MOST_REMOVALS = 32


def smallest(ranked: Sequence[str], enough: Callable[[tuple[str, ...]], bool]) -> tuple[str, ...] | None:
    """Return a set of ``ranked`` (the worst first) that is ``enough`` and needs each of its members; None if all fail.

    The first so many are tried, by doubling and then halving their number; then the set without each of its members,
    the least suspected first, at most 32 of them. Where excluding more is never worse, none is left that is not needed.
    Nothing at all is taken to be not enough.
    """
    suspects, low, high = tuple(ranked), 0, 1
    while not enough(suspects[:high]):
        if high >= len(suspects):
            return None
        low, high = high, min(2 * high, len(suspects))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(suspects[:middle]) else (middle, high)
    chosen = suspects[:high]
    for member in chosen[:-1][: -_MOST_REMOVALS - 1 : -1]:  # the last is needed: without it was tried above
        fewer = tuple(each for each in chosen if each != member)
        if enough(fewer):
            chosen = fewer
    return chosen
