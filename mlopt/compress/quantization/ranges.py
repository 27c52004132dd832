"""How the range of one tensor follows from the values that it took, fed piece by piece in bounded memory.

onnxruntime's collectors are not used. Its histogram keeps the width of the bins that the first sample gave, so a small
first value makes millions of them; its percentile drops the last bin that it means to keep, which inverts the range of
a constant; its moving average gives the first chunk most of the weight; and it takes more than twice the time.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Protocol

import numpy as np

from mlopt.data.dataset import Array

Ends = tuple[float, float]
"""The least and the greatest value that shall be told apart."""

_BINS = 4096
"""Between -limit and limit. Their limit doubles as values grow, so at least half of them are in use."""
_ENTROPY_BINS = 512
"""The search for the entropy takes time by the square of the bins: 0.14 s per tensor with these, 0.7 s with 2048."""
_CUT = 0.5e-5
"""The share of the values that percentile cuts at each end."""
_BLOCK = 1 << 16
"""Values that are counted at once: they stay in the processor's cache."""
_COUNTABLE = 2.0**100
"""A tensor that reaches this, or is not finite, holds a mask: its range is told as it is, and no histogram made."""


class TensorRange(Protocol):
    """What is remembered of one tensor."""

    def add(self, values: Array) -> None:
        """Take in float32 values, at least one, of any shape: what one inference gave."""

    def ends(self) -> Ends:
        """Return the range of what was added, at least once."""


class Extremes:
    """The least and the greatest of all values; NaN if there was one."""

    def __init__(self) -> None:
        self._low, self._high = inf, -inf

    def add(self, values: Array) -> None:
        """Widen the range."""
        self._low = float(np.minimum(self._low, values.min()))
        self._high = float(np.maximum(self._high, values.max()))

    def ends(self) -> Ends:
        """Return both."""
        return self._low, self._high


class MeanExtremes:
    """The mean of each inference's extremes: one odd sample does not set the range, and order does not matter."""

    def __init__(self) -> None:
        self._low = self._high = 0.0
        self._times = 0

    def add(self, values: Array) -> None:
        """Count one inference."""
        self._low += float(values.min())
        self._high += float(values.max())
        self._times += 1

    def ends(self) -> Ends:
        """Return both means."""
        return self._low / self._times, self._high / self._times


Rule = Callable[[Array, Array], Ends]
"""From counts per bin [n] and the edges of the bins [n + 1] to the range that is worth its steps."""


class Histogram:
    """How often values fall into equal bins around zero, and the range that a rule makes of that."""

    def __init__(self, rule: Rule) -> None:
        self.counts = np.zeros(_BINS, dtype=np.int64)
        self.limit = 0.0
        self._extremes = Extremes()
        self._rule = rule

    def add(self, values: Array) -> None:
        """Count the values; where they go beyond the limit it doubles, and two bins become one."""
        self._extremes.add(values)
        reach = float(np.abs([values.min(), values.max()]).max())
        if not reach < _COUNTABLE:  # NaN is not less than anything
            return
        while self.limit < reach:
            if self.limit:
                self._double()
            else:
                self.limit = reach  # all that was counted so far is zero, whose bin never moves
        flat = values.reshape(-1)
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK] / (self.limit or 1.0)
            found = np.bincount(((block + 1.0) * (_BINS // 2)).astype(np.intp), minlength=_BINS + 1)
            self.counts += found[:-1]
            self.counts[-1] += found[-1]  # the limit itself

    def ends(self) -> Ends:
        """Return the rule's range, nowhere wider than the values were."""
        low, high = self._extremes.ends()
        if not max(-low, high) < _COUNTABLE or not self.limit:
            return low, high
        chosen_low, chosen_high = self._rule(self.counts, np.linspace(-self.limit, self.limit, _BINS + 1))
        return max(chosen_low, low), min(chosen_high, high)

    def _double(self) -> None:
        quarter = _BINS // 4
        self.counts = np.pad(self.counts.reshape(-1, 2).sum(axis=1), quarter)
        self.limit *= 2


def percentile(counts: Array, edges: Array) -> Ends:
    """Cut so many of the values at each end, and no bin that holds others."""
    below = np.cumsum(counts)
    cut = below[-1] * _CUT
    first = int(np.searchsorted(below, cut, side="right"))
    last = int(np.searchsorted(below, below[-1] - cut, side="left"))
    return float(edges[first]), float(edges[last + 1])


def entropy(counts: Array, edges: Array) -> Ends:
    """Let onnxruntime find the range whose 128 steps keep the distribution best (Kullback-Leibler divergence)."""
    from onnxruntime.quantization.calibrate import HistogramCollector

    every = _BINS // _ENTROPY_BINS
    collector = HistogramCollector("entropy", symmetric=False, num_bins=_ENTROPY_BINS, num_quantized_bins=128,
                                   percentile=100.0, scenario="same")  # fmt: skip
    coarse = counts.reshape(-1, every).sum(axis=1), edges[::every].astype(np.float32)
    low, high = collector.get_entropy_threshold((*coarse, coarse[1][0], coarse[1][-1]), 128)
    return float(low), float(high)
