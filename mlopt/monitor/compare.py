"""Two sketches of one thing side by side: in which bins values fall, pure.

The bins are those of the reference: its tenths, or fewer where values repeat. Two figures say how far the live shares
of them are from the reference's: the **shift**, the largest difference of the two distribution functions at the bins'
edges (0 to 1; a normal distribution that moves by a quarter of its deviation has 0.1), and the **PSI**, the sum of
(live - reference) ln(live / reference) over the bins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlopt.sketches import PartSketch, Sketches, TensorSketch
from mlopt.sketches.kll import RANK_SIGMA

Shares = NDArray[np.float64]
BINS = 10
_TOP_CLASSES, _LEAST_EXPECTED = 50, 5
_SHOWN = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Sample:
    """What is known of one side."""

    shares: Shares
    """Of the bins; they add up to 1."""
    rows: int
    noise: float
    """The standard deviation that the sketch itself adds to a share of values, 0 where every value is in it."""
    quantiles: tuple[float, ...] = ()
    """At 5, 50 and 95 %; empty for classes."""


@dataclass(frozen=True)
class ComparedPair:
    """One thing that is compared."""

    side: str
    tensor: str
    part: str
    reference: Sample
    live: Sample
    ordered: bool
    """Whether the bins have an order: numbers do, classes do not, and have no shift."""

    @property
    def shift(self) -> float:
        """The largest difference of the two distribution functions; 0 without an order."""
        return float(shift(self.reference.shares, self.live.shares)) if self.ordered else 0.0

    @property
    def psi(self) -> float:
        """The population stability index."""
        return float(psi(self.reference.shares, self.live.shares, self.reference.rows, self.live.rows))


def shift(reference: Shares, live: Shares) -> Shares:
    """Return the largest difference of the sums up to each bin; [..., bins] gives [...]."""
    return np.asarray(np.abs(np.cumsum(live - reference, axis=-1)[..., :-1]).max(axis=-1, initial=0.0))


def psi(reference: Shares, live: Shares, reference_rows: int, live_rows: int) -> Shares:
    """Return the PSI; [..., bins] gives [...]. Half a row more in each bin keeps empty ones finite."""
    a, b = (_smoothed(reference, reference_rows), _smoothed(live, live_rows))
    return np.asarray(((b - a) * np.log(b / a)).sum(axis=-1))


def _smoothed(shares: Shares, rows: int) -> Shares:
    return np.asarray((shares * rows + 0.5) / (rows + 0.5 * shares.shape[-1]))


def pairs(reference: Sketches, live: Sketches) -> Iterator[ComparedPair]:
    """Yield everything that is in both, and has values in both."""
    there = {(one.side, one.name): one for one in live.tensors}
    for tensor in reference.tensors:
        other = there.get((tensor.side, tensor.name))
        if other is not None and is_comparable(tensor, other):
            yield from _of_tensor(tensor, other)


def is_comparable(reference: TensorSketch, live: TensorSketch) -> bool:
    """Whether both were sketched in the same way."""
    return (reference.form, [part.name for part in reference.parts]) == (live.form, [part.name for part in live.parts])


def _of_tensor(reference: TensorSketch, live: TensorSketch) -> Iterator[ComparedPair]:
    for part, other in zip(reference.parts, live.parts, strict=True):
        if part.numbers.n and other.numbers.n:
            yield _numbers(reference, part, other, live.rows)
    if reference.classes and live.classes and len(reference.classes) == len(live.classes):
        found = _classes(reference, reference.classes, live.classes)
        if found is not None:
            yield found


def _numbers(tensor: TensorSketch, part: PartSketch, other: PartSketch, live_rows: int) -> ComparedPair:
    """Compare numbers; rows are what is independent, however many values of each were sketched."""
    edges = np.unique(part.numbers.quantile([place / BINS for place in range(1, BINS)]))
    edges = edges[part.numbers.share(edges) < 1]
    samples = [
        Sample(
            np.diff(one.numbers.share(edges), prepend=0.0, append=1.0), min(rows, one.numbers.n),
            0.0 if one.numbers.exact else RANK_SIGMA, tuple(map(float, one.numbers.quantile(_SHOWN))),
        )
        for one, rows in ((part, tensor.rows), (other, live_rows))
    ]  # fmt: skip
    return ComparedPair(tensor.side, tensor.name, part.name, samples[0], samples[1], ordered=True)


def _classes(tensor: TensorSketch, reference: Sequence[int], live: Sequence[int]) -> ComparedPair | None:
    """Compare how often each class was the largest; rare ones count together, so that chance can be told."""
    a, b = np.array(reference, np.float64), np.array(live, np.float64)
    if not a.sum() or not b.sum():
        return None
    expected = a / a.sum() * min(a.sum(), b.sum())
    common = [place for place in np.argsort(-a, kind="stable")[:_TOP_CLASSES] if expected[place] >= _LEAST_EXPECTED]
    rest = np.setdiff1d(np.arange(len(a)), common)
    samples = [Sample(np.array([*one[common], one[rest].sum()]) / one.sum(), int(one.sum()), 0.0) for one in (a, b)]
    return ComparedPair(tensor.side, tensor.name, "class", samples[0], samples[1], ordered=False)


def classes_moved(reference: Sequence[int], live: Sequence[int]) -> list[tuple[int, float, float]]:
    """Return the classes by how much their share changed, the most first: class, share before, share now."""
    a, b = (np.array(each, np.float64) / max(sum(each), 1) for each in (reference, live))
    order = np.argsort(-np.abs(a - b), kind="stable")
    return [(int(place), float(a[place]), float(b[place])) for place in order if not math.isclose(a[place], b[place])]
