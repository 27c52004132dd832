"""What a version's counters say: requests by outcome, how long they took, and how its answers compare. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Observed:
    """Counts of one version, since its server started or, after ``since``, in a window."""

    requests: int = 0
    errors: int = 0
    """Of these, answered with a status of 500 or above; what the client did wrong is no fault of a version."""
    edges: tuple[float, ...] = ()
    """Upper ends of the histogram's buckets but the last, ascending, in seconds."""
    counts: tuple[int, ...] = ()
    """Requests in each bucket, and in the one above the last edge: one more than edges."""
    same: int = 0
    different: int = 0
    failed: int = 0
    """How its answers to copies of requests came out beside those that were given."""
    blur_s: float = 0.0
    """How far a time may lie beyond the bucket that it was counted in: 1 ms where a proxy counts whole ones."""

    @property
    def compared(self) -> int:
        """Answers to copies."""
        return self.same + self.different + self.failed

    @property
    def timed(self) -> int:
        """Requests in the histogram."""
        return sum(self.counts)

    def below(self, at: int) -> int:
        """Return how many requests took no longer than an edge."""
        return sum(self.counts[: at + 1])


_NUMBERS = tuple(each.name for each in fields(Observed) if each.name not in {"edges", "counts", "blur_s"})


def since(before: Observed | None, now: Observed) -> Observed:
    """Return what was counted between two readings; all of ``now`` where a server began anew in between."""
    if before is None or restarted(before, now):
        return now
    less = {name: getattr(now, name) - getattr(before, name) for name in _NUMBERS}
    counts = now.counts
    if before.counts:
        counts = tuple(late - early for early, late in zip(before.counts, now.counts, strict=True))
    return replace(now, counts=counts, **less)


def restarted(before: Observed, now: Observed) -> bool:
    """Whether a counter went back, or the histogram has other buckets."""
    if before.counts and before.edges != now.edges:
        return True
    fell = any(late < early for early, late in zip(before.counts, now.counts, strict=False))
    return fell or any(getattr(now, name) < getattr(before, name) for name in _NUMBERS)


def together(blocks: Sequence[Observed]) -> Observed:
    """Return the sum of several windows of one version; of times, those that have the latest buckets."""
    edges = next((each.edges for each in reversed(blocks) if each.counts), ())
    timed = [each.counts for each in blocks if each.counts and each.edges == edges]
    summed = {name: sum(getattr(each, name) for each in blocks) for name in _NUMBERS}
    blur = max((each.blur_s for each in blocks), default=0.0)
    return Observed(edges=edges, counts=tuple(map(sum, zip(*timed, strict=True))), blur_s=blur, **summed)
