"""From what became of requests to figures, each with its interval.

Requests of one second resemble each other, since a stall catches all that come in it. So whole stretches of time are
resampled (``measure.statistics``), and an error rate's interval is that of as many independent requests as the
stretches say there were.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlopt.loadtest.arrivals import Floats
from mlopt.loadtest.lateness import lateness_ms
from mlopt.loadtest.volley import Volley
from mlopt.measure import statistics
from mlopt.results.section import Interval
from mlopt.results.serving import LoadFigures, TimeStretch

_STRETCH_S = 2.0
_FEWEST, _MOST = 10, 100
_LEAST_MS = 1e-6
_POINT_S = 0.5
Answered = NDArray[np.bool_]


def summed(volley: Volley, rate: float, seconds: float, time_limit_s: float) -> LoadFigures:
    """Sum up a stretch of load of at least one request; ``time_limit_s`` is what a request that failed counts as."""
    right = np.array([kind is None for kind in volley.failed])
    whole = latencies_ms(volley, time_limit_s)
    stretches = by_time(volley.moments, seconds)
    answered = [whole[each][right[each]] for each in stretches]
    late = lateness_ms(volley)
    errors = Counter(kind for kind in volley.failed if kind is not None)
    wrong = len(right) - int(right.sum())
    return LoadFigures(
        rate=rate, seconds=seconds, requests=len(right), answered=int(right.sum()),
        answered_per_s=int(right.sum()) / seconds, errors=dict(sorted(errors.items())), examples=volley.examples,
        error_rate=wrong / len(right), error_rate_ci95=share_interval([~right[each] for each in stretches]),
        latency_ms=statistics.latency([whole[each].tolist() for each in stretches]),
        answered_ms=statistics.latency([each.tolist() for each in answered if len(each)]) if right.any() else None,
        lateness_ms=statistics.latency([late.tolist()]) if len(late) else None, in_flight=volley.in_flight,
        over_time=over_time(volley.moments, whole, right, seconds),
    )  # fmt: skip


def over_time(moments: Floats, latencies: Floats, right: Answered, seconds: float) -> tuple[TimeStretch, ...]:
    """Return the latencies by stretches of half a second or more."""
    count = int(np.clip(seconds / _POINT_S, 1, _MOST))
    return tuple(
        TimeStretch(
            start_s=number * seconds / count, requests=each.stop - each.start, failed=int((~right[each]).sum()),
            p50_ms=float(np.median(latencies[each])) if each.stop > each.start else None,
            most_ms=float(latencies[each].max()) if each.stop > each.start else None,
        )
        for number, each in enumerate(cut(moments, seconds, count))
    )  # fmt: skip


def latencies_ms(volley: Volley, time_limit_s: float) -> Floats:
    """Return each request's latency from its moment [requests]; one that failed took at least the time limit.

    To leave those out would make a server look the faster, the more it refuses.
    """
    took = 1000 * (volley.done - volley.moments)
    failed = np.array([kind is not None for kind in volley.failed])
    given_up = np.fmax(np.where(np.isnan(took), 0.0, took), 1000 * time_limit_s)
    return np.maximum(np.where(failed, given_up, took), _LEAST_MS)


def by_time(moments: Floats, seconds: float) -> list[slice]:
    """Return the requests as stretches of time of equal length that follow each other; those without any left out."""
    count = int(np.clip(seconds / _STRETCH_S, _FEWEST, _MOST))
    return [each for each in cut(moments, seconds, count) if each.stop > each.start]


def cut(moments: Floats, seconds: float, count: int) -> list[slice]:
    """Return which requests fall into each of so many stretches of time of equal length."""
    edges = np.searchsorted(moments, np.linspace(0, seconds, count + 1)[1:-1])
    return [slice(first, last) for first, last in pairwise([0, *edges.tolist(), len(moments)])]


def share_interval(stretches: Sequence[Answered], alpha: float = 0.05) -> Interval:
    """Return Wilson's interval of the share that is true, of as many as would be independent.

    That is fewer than there are by the design effect: how much more the stretches' shares vary than chance makes them.
    """
    sizes = np.array([len(each) for each in stretches])
    hits = np.array([int(each.sum()) for each in stretches])
    n, share = int(sizes.sum()), hits.sum() / sizes.sum()
    spread = sizes * share * (1 - share)
    excess = float(np.mean((hits - sizes * share) ** 2 / spread)) if 0 < share < 1 and len(sizes) > 1 else 1.0
    fewer = max(math.floor(n / max(excess, 1.0)), 1)
    low, high = statistics.proportion_interval(round(share * fewer), fewer, alpha)
    return min(low, float(share)), max(high, float(share))
