"""Two servers that were asked in turn: what one is slower by than the other, and whether that is more than chance.

Both are asked in each stretch of time, so that what disturbs the machine falls on both. The difference of medians is
what the stretches' own differences have in common (``statistics.over_rounds``); that of p99, of which a stretch has too
few requests, lies within what the two percentiles' intervals allow (Zou and Donner's MOVER), each from longer stretches
than the medians', so that a stall, which one server has and the other has not, lies in one of them. A server is slower
if the interval excludes 0 and the difference is more than 2 % of the other: two copies of one server are never quite
alike, and no interval knows that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from mlopt.loadtest.arrivals import Floats
from mlopt.measure import statistics
from mlopt.results.section import Interval
from mlopt.results.serving import ServedDifference

ALPHA = 0.005
"""The share of runs of two equal servers in which one may be called slower or faster: shared by the two percentiles."""
LEAST = 0.02
"""A smaller difference, as a share of the other's latency, is none."""
_EACH = ALPHA / 2
_FEWEST, _MOST, _REQUESTS = 12, 40, 20

Name = Literal["p50", "p99"]


def differences(one: Sequence[Floats], other: Sequence[Floats]) -> tuple[ServedDifference, ...]:
    """Compare latencies in milliseconds, [stretches][requests], of the same stretches of time."""
    both = [(a, b) for a, b in zip(one, other, strict=True) if len(a) and len(b)]
    return _medians(both), _tails(both)


def stretches(requests: int) -> int:
    """Return in how many stretches of time a run of so many requests to each server is cut."""
    return int(np.clip(requests // _REQUESTS, _FEWEST, _MOST))


def _medians(both: Sequence[tuple[Floats, Floats]]) -> ServedDifference:
    needed = statistics.rounds_needed(_EACH)
    if len(both) < needed:
        why = f"both were asked in {len(both)} stretches of time, and the difference takes {needed}"
        return _unknown("p50", why)
    a, b = (float(np.median(np.concatenate(side))) for side in zip(*both, strict=True))
    apart = np.array([np.median(x) - np.median(y) for x, y in both])
    low, middle, high = statistics.over_rounds(apart, _EACH)
    return _told("p50", (a, b), middle, (low, high))


def _tails(both: Sequence[tuple[Floats, Floats]]) -> ServedDifference:
    needed, n = statistics.samples_for_percentile(0.99, _EACH), min(_count(both, 0), _count(both, 1))
    if n < needed:
        return _unknown("p99", f"n = {n}, and p99 takes at least {needed} requests to each server at this confidence")
    groups = np.array_split(np.arange(len(both)), min(len(both), _FEWEST))
    sides = [
        [np.concatenate([both[number][place] for number in group]).tolist() for group in groups] for place in (0, 1)
    ]
    a, b = (float(np.quantile(np.concatenate([pair[place] for pair in both]), 0.99)) for place in (0, 1))
    (low_a, high_a), (low_b, high_b) = (statistics.percentile_interval(side, 0.99, _EACH) for side in sides)
    down, up = math.hypot(a - low_a, high_b - b), math.hypot(high_a - a, b - low_b)
    return _told("p99", (a, b), a - b, (a - b - down, a - b + up))


def _count(both: Sequence[tuple[Floats, Floats]], place: int) -> int:
    return sum(len(pair[place]) for pair in both)


def _told(name: Name, values: tuple[float, float], difference: float, interval: Interval) -> ServedDifference:
    value, other = values
    found: Literal["slower", "faster", "no difference shown"] = "no difference shown"
    if abs(difference) > LEAST * other and not interval[0] <= 0 <= interval[1]:
        found = "slower" if difference > 0 else "faster"
    return ServedDifference(
        percentile=name, other_ms=other, value_ms=value, difference_ms=difference, interval=interval,
        confidence=1 - _EACH, found=found,
    )  # fmt: skip


def _unknown(name: Name, why: str) -> ServedDifference:
    return ServedDifference(
        percentile=name, other_ms=None, value_ms=None, difference_ms=None, interval=None, confidence=1 - _EACH,
        found="not known", reason=why,
    )  # fmt: skip
