"""What the measured latencies can support: percentiles and ratios, each with its interval.

Pure functions of numbers. Two things are kept in mind throughout: latency samples of one machine resemble their
neighbours, so whole blocks are resampled and never single calls; and a figure that the samples cannot support is left
out with a reason. Nothing is random from run to run: the resampling has a fixed seed.

``alpha`` is the share of runs in which an interval may miss the truth: 0.05 for 95 %. Whoever looks at the samples up
to ``LOOKS`` times, and stops when they decide, asks for 0.05 / LOOKS each time: then 95 % holds for the whole run.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import MeasureError
from mlopt.measure.intervals import (
    mean_interval,
    normal,
    paired_drop,
    proportion_interval,
    rescaled,
    samples_needed,
    student,
    tango,
)
from mlopt.results.figures import Latency
from mlopt.results.section import Interval

__all__ = [
    "ALPHA",
    "LOOKS",
    "PERCENTILES",
    "Blocks",
    "control",
    "latency",
    "mean_interval",
    "noise_floor",
    "over_rounds",
    "paired_drop",
    "percentile_interval",
    "proportion_interval",
    "rescaled",
    "rounds_needed",
    "samples_for_percentile",
    "samples_needed",
    "speedup",
    "tango",
]

Floats = NDArray[np.float64]
Blocks = Sequence[Sequence[float]]

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
ALPHA = 0.05
"""The error rate of a report's intervals, shared out among the looks that were planned."""
LOOKS = 3
"""How often a run may look at its samples and stop if they decide."""

_REPLICATES = 2000
_MIN_UNITS, _MAX_UNITS = 10, 200
_EXACT_ROUNDS, _MAX_ROUNDS = 100, 1000
_SHORTEST_MS, _LONGEST_MS = 1e-9, 1e12
"""Samples may come from anybody: what lies beyond is no time, and sums and ratios of it are infinite."""


def samples_for_percentile(quantile: float, alpha: float = 0.05) -> int:
    """Return how many samples it takes before one beyond the percentile is expected with certainty 1 - ``alpha``.

    With fewer, even the largest sample is no upper bound of the percentile: at 0.05, p95 takes 59, p99 299, p99.9 2995.
    """
    return math.ceil(math.log(alpha) / math.log(quantile))


def rounds_needed(alpha: float = 0.05) -> int:
    """Return the fewest rounds from which a signed-rank interval reaches ``alpha``: 6 at 0.05, 7 at 0.05 / 3."""
    return math.ceil(1 - math.log2(alpha))


def latency(blocks: Blocks, alpha: float = 0.05) -> Latency:
    """Summarize latencies in milliseconds, given as blocks of consecutive calls.

    ``ci95`` has the error rate ``alpha``; see ``percentile_interval`` for what it is made of.
    Raises ``MeasureError`` when there is no sample, or one that is no time.
    """
    units = _units([_times(block) for block in blocks])
    values = np.sort(np.concatenate(units))
    n = len(values)
    given = {key: q for key, q in PERCENTILES.items() if n >= samples_for_percentile(q, alpha)}
    reasons = {
        key: f"n = {n}, and {_percent(q)} takes at least {samples_for_percentile(q, alpha)} samples"
        for key, q in PERCENTILES.items()
        if key not in given
    }
    counts = _resampled_counts(len(units))
    ci95 = {key: _percentile_interval(units, values, counts, q, alpha) for key, q in given.items()}
    if len(units) > 1:
        ci95["mean"] = _bootstrap_mean(units, counts, alpha)
    else:
        reasons["mean"] = "one sample has no interval"
    figures = {key: float(np.quantile(values, q)) if key in given else None for key, q in PERCENTILES.items()}
    return Latency(**figures, mean=float(values.mean()), n=n, ci95=ci95, reasons=reasons)


def percentile_interval(blocks: Blocks, quantile: float, alpha: float = 0.05) -> Interval:
    """Return the interval of one percentile, such as 0.95 for p95, in the samples' unit.

    It is the wider of two: a bootstrap over blocks, which knows that neighbours resemble each other, and the exact
    binomial one on the order statistics, which knows how few samples a tail has. The latter, asked about a limit, is
    the exact one-sided binomial test of how many calls went beyond that limit, at ``alpha`` / 2 on either side.
    """
    units = _units([_times(block) for block in blocks])
    values = np.sort(np.concatenate(units))
    return _percentile_interval(units, values, _resampled_counts(len(units)), quantile, alpha)


def speedup(base: Blocks, new: Blocks, alpha: float = 0.05) -> tuple[float, float, float]:
    """Return how many times faster ``new`` is than ``base``, and the limits of its interval.

    Blocks 2i and 2i + 1 of both come from round i of one interleaved run, in which the candidates took turns in a
    random order and then in its reverse (ABBA), so that drift falls on both and cancels in the ratio of their medians.
    A round's log ratio is the mean over its two blocks; rounds that only one of them has are left out.
    Raises ``MeasureError`` when there are too few rounds for ``alpha``: seven at 0.05 / 3.
    """
    rounds = min(len(base), len(new)) // 2
    if rounds < rounds_needed(alpha):
        raise MeasureError(
            "a speedup takes rounds in which both candidates ran", got=f"{len(base)} and {len(new)} blocks",
            expected=f"two blocks of each in at least {rounds_needed(alpha)} rounds",
            fix=f"measure at least {rounds_needed(alpha)} rounds (`measure.rounds`)",
        )  # fmt: skip
    medians = [
        np.log([np.median(_times(block)) for block in blocks[: 2 * rounds]]).reshape(rounds, 2)
        for blocks in (base, new)
    ]
    low, middle, high = np.exp(over_rounds((medians[0] - medians[1]).mean(axis=1), alpha))
    return float(middle), float(low), float(high)


def over_rounds(logs: Floats, alpha: float = 0.05) -> tuple[float, float, float]:
    """Return the low limit, the estimate and the high limit of what the rounds' log ratios, [rounds], have in common.

    The estimate is Hodges and Lehmann's median of pairwise means, the interval Wilcoxon's signed-rank one. Which of two
    candidates goes first in a round is a fair coin, and turning the coin turns the sign of the round's error: the signs
    are independent even where rounds resemble each other, and so the interval is exact from ``rounds_needed`` on, as
    long as a disturbance does not choose its candidate. A bootstrap over rounds is not: of ten rounds at 0.05 / 3 it
    misses the truth two to four times as often as it says (docs/gate-quality.md). A few rounds that something else
    disturbed hardly move the estimate.
    """
    if len(logs) > _MAX_ROUNDS:
        logs = np.array([part.mean() for part in np.array_split(logs, _MAX_ROUNDS)])
    first, second = np.triu_indices(len(logs))
    means = np.sort((logs[first] + logs[second]) / 2)
    rank = _signed_rank(len(logs), alpha)
    return float(means[rank - 1]), float(np.median(means)), float(means[-rank])


def control(blocks: Blocks, again: Blocks, alpha: float = 0.05) -> Interval:
    """Return the interval of the ratio of two copies of one model, measured as two candidates: the A/A control.

    If it excludes 1, something other than the models differed between candidates, and every ratio of this run may be
    off by as much.
    """
    _, low, high = speedup(blocks, again, alpha)
    return low, high


def noise_floor(blocks: Blocks, again: Blocks, alpha: float = 0.05) -> float:
    """Return how large a speedup this run shows where there is none, from the same control.

    The result is the far end of the interval of the ratio, in either direction, less 1: at 0.03 a speedup of 1.03
    cannot be told from chance.
    """
    low, high = control(blocks, again, alpha)
    return max(high, 1 / low) - 1


def _times(block: Sequence[float]) -> Floats:
    times = np.asarray(block, dtype=np.float64)
    if times.ndim != 1 or not len(times):
        raise MeasureError("a block has no samples", got=f"shape {times.shape}", expected="at least one call per block")
    wrong = times[~((times >= _SHORTEST_MS) & (times <= _LONGEST_MS))]
    if len(wrong):
        expected = f"{_SHORTEST_MS:g} to {_LONGEST_MS:g} ms"
        raise MeasureError("a latency is not a time that anything takes", got=f"{wrong[0]} ms", expected=expected)
    return times


def _percent(quantile: float) -> str:
    return f"p{100 * quantile:g}"


def _units(blocks: list[Floats]) -> list[Floats]:
    """Cut too few blocks into parts, so that resampling has a choice; join neighbours where there are very many."""
    if not blocks:
        raise MeasureError("there are no samples", fix="measure longer")
    if len(blocks) > _MAX_UNITS:
        cuts = np.linspace(0, len(blocks), _MAX_UNITS + 1).astype(int)
        return [np.concatenate(blocks[first:last]) for first, last in pairwise(cuts)]
    parts = math.ceil(_MIN_UNITS / len(blocks))
    return [unit for block in blocks for unit in np.array_split(block, min(parts, len(block)))]


@lru_cache(maxsize=8)
def _resampled_counts(units: int) -> Floats:
    """Return how often each unit was drawn in each bootstrap replicate: [replicates, units]."""
    return np.random.default_rng(0).multinomial(units, np.full(units, 1 / units), _REPLICATES).astype(np.float64)


def _percentile_interval(
    units: list[Floats], values: Floats, counts: Floats, quantile: float, alpha: float
) -> Interval:
    one = _bootstrap_quantile(units, values, counts, quantile, alpha)
    other = _order_statistics(units, values, quantile, alpha)
    return min(one[0], other[0]), max(one[1], other[1])


def _bootstrap_quantile(units: list[Floats], values: Floats, counts: Floats, quantile: float, alpha: float) -> Interval:
    """Return the limits that the percentiles of a small share, and of all but that share, of replicates do not exceed.

    Percentiles of replicates need not be computed for that: a replicate's is at most x if enough of its samples are.
    """
    ordered = [np.sort(unit) for unit in units]
    wanted = quantile * (counts @ np.array([len(unit) for unit in units]))

    def at_most(rank: int) -> float:
        below = np.array([np.searchsorted(unit, values[rank], side="right") for unit in ordered])
        return float(np.mean(counts @ below >= wanted - 1e-9))

    tail = _tail(len(units), alpha)
    low, high = (bisect_left(range(len(values) - 1), level, key=at_most) for level in (tail, 1 - tail))
    return float(values[low]), float(values[high])


def _bootstrap_mean(units: list[Floats], counts: Floats, alpha: float) -> Interval:
    sums, sizes = np.array([unit.sum() for unit in units]), np.array([len(unit) for unit in units])
    tail = _tail(len(units), alpha)
    low, high = np.quantile((counts @ sums) / (counts @ sizes), [tail, 1 - tail])
    return float(low), float(high)


def _tail(units: int, alpha: float) -> float:
    """Return the share of replicates beyond a limit: less for few units, as Student's t is wider (Hesterberg, 2015)."""
    degrees = max(units - 1, 1)
    return NormalDist().cdf(-math.sqrt(units / degrees) * student(degrees, alpha))


def _order_statistics(units: list[Floats], values: Floats, quantile: float, alpha: float) -> Interval:
    """Return the samples between whose ranks a percentile lies, by the exact binomial; the extremes at the ends.

    The samples count as fewer by the design effect: how much more the units' shares of samples beyond the percentile
    vary than they would if samples were independent.
    """
    edge = np.quantile(values, quantile)
    sizes = np.array([len(unit) for unit in units])
    beyond = np.array([np.count_nonzero(unit > edge) for unit in units])
    excess = (beyond - sizes * (1 - quantile)) ** 2 / (sizes * quantile * (1 - quantile))
    n = math.ceil(len(values) / max(float(excess.mean()), 1.0))
    low, high = _binomial_interval(n, quantile, alpha)
    last = len(values) - 1
    return float(values[math.floor(max(low - 1, 0) / n * last)]), float(values[min(math.ceil(high / n * last), last)])


def _binomial_interval(n: int, share: float, alpha: float) -> tuple[int, int]:
    """Return the binomial distribution's quantile at alpha / 2, and one more than the one at 1 - alpha / 2."""
    mean = n * share
    reach = 10 * math.sqrt(mean * (1 - share)) + 10
    k = np.arange(max(math.floor(mean - reach), 0), min(math.ceil(mean + reach), n) + 1)
    steps = np.log((n - k[:-1]) / (k[:-1] + 1)) + math.log(share / (1 - share))
    weights = np.concatenate([[0.0], np.cumsum(steps)])
    weights = np.exp(weights - weights.max())
    cdf = np.cumsum(weights) / weights.sum()
    return int(k[np.searchsorted(cdf, alpha / 2, side="right")]), int(k[np.searchsorted(cdf, 1 - alpha / 2)]) + 1


@lru_cache(maxsize=1024)
def _signed_rank(n: int, alpha: float) -> int:
    """Return the rank, from either end of the pairwise means, of the interval's limits; n >= rounds_needed(alpha).

    Exact up to 100 rounds, beyond by the normal approximation of the sum of signed ranks, rounded to the safe side.
    """
    if n > _EXACT_ROUNDS:
        spread = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return math.floor(n * (n + 1) / 4 - normal(alpha) * spread)
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1
    for rank in range(1, n + 1):
        ways[rank:] = ways[rank:] + ways[:-rank]
    return int(np.searchsorted(np.cumsum(ways / 2.0**n), alpha / 2, side="right"))
