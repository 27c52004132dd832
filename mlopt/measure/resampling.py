"""Intervals for metrics that give one number for all samples, such as macro F1: by asking them about other samples.

The bootstrap asks about as many samples, drawn with replacement: always the same draws, so that two models' replicates
pair up and what both get right cancels in their difference. Its spread alone is far too narrow where few samples
differ (of nominal 95 % intervals of a drop as few as a quarter held the truth), and nothing where none does. So the
weight of two more samples is added, one that loses all that a sample can and one that gains it, as for scores that are
known one by one. ``tests/measure/test_resampling.py`` shows by simulation what that is worth.

A metric too slow for that, or one that cannot do without any of the samples, is asked again without each twentieth of
them, and the jackknife's pseudo-values stand for scores.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import DataError
from mlopt.results.section import Interval

Floats = NDArray[np.float64]
Compute = Callable[[NDArray[Any]], float]
"""``compute(rows)``: the metric of these samples; ``rows`` are numbers of samples, or a mask [samples]."""

_GROUPS = 20
_REPLICATES = (1000, 200)
_SECONDS = 5.0
_DEVIATIONS = 4  # of one sample's weight: two to either side
_Z = NormalDist().inv_cdf(0.975)


def replicates(compute: Compute, n: int) -> Floats | None:
    """Return the metric of 1000 bootstrap samples, or of the first 200 of them if all would take more than 5 s.

    None if even these would, or if the metric fails on one: a class may be missing in it.
    """
    random = np.random.default_rng(0)
    try:
        started = time.perf_counter()
        first = compute(random.integers(n, size=n))
        each = time.perf_counter() - started
        count = next((count for count in _REPLICATES if count * each <= _SECONDS), None)
        if count is None:
            return None
        return np.array([first, *(compute(random.integers(n, size=n)) for _ in range(count - 1))])
    except DataError:
        return None


def pseudo_values(compute: Compute, whole: float, n: int) -> Floats:
    """Return the jackknife's pseudo-values [groups], centred so that their mean is ``whole``, the metric of all."""
    groups = min(_GROUPS, n)
    member = np.arange(n) % groups
    without = np.array([compute(member != group) for group in range(groups)])
    pseudo: Floats = whole + (groups - 1) * (without.mean() - without)
    return pseudo


def reach(value: float, resampled: Floats, n: int) -> float:
    """Return how far one sample can move n times the metric: the range of its values, as far as it is known.

    It is 1 for values between 0 and 1, and at least four standard deviations of what a sample now moves it.
    """
    observed = _DEVIATIONS * math.sqrt(n) * float(resampled.std(ddof=1))
    return max(observed, 1.0 if 0 <= value <= 1 else 0.0)


def interval(value: float, resampled: Floats, n: int, most: float) -> Interval:
    """Return the 95 % interval of a metric of ``n`` samples, or of a difference of two; ``most`` is ``reach``."""
    half = _Z * math.hypot(float(resampled.std(ddof=1)), math.sqrt(2) * most / n)
    return value - half, value + half
