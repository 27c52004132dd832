"""What the measured figures can support: percentiles, ratios and accuracy drops, each with its 95 % interval.

Pure functions of numbers. Two things are kept in mind throughout: latency samples of one machine resemble their
neighbours, so whole blocks are resampled and never single calls; and a figure that the samples cannot support is left
out with a reason. Nothing is random from run to run: the resampling has a fixed seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlopt.errors import DataError, MeasureError
from mlopt.report.schema import AccuracyDrop, Interval, Latency

Floats = NDArray[np.float64]
Blocks = Sequence[Sequence[float]]

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}

_ALPHA = 0.05
_Z = NormalDist().inv_cdf(1 - _ALPHA / 2)
_REPLICATES = 2000
_MIN_UNITS = 10
_MIN_ROUNDS = 6  # with fewer, no signed-rank interval reaches 95 %


def samples_for_percentile(quantile: float) -> int:
    """Return how many samples it takes before a sample beyond the percentile is expected with 95 % certainty.

    With fewer, even the largest sample is no upper bound of the percentile: p95 takes 59, p99 299, p99.9 2995.
    """
    return math.ceil(math.log(_ALPHA) / math.log(quantile))


def latency(blocks: Blocks) -> Latency:
    """Summarize latencies in milliseconds, given as blocks of consecutive calls.

    An interval is the wider of two: a bootstrap over blocks, which knows that neighbours resemble each other, and the
    exact binomial one on the order statistics, which knows how few samples a tail has.
    Raises ``MeasureError`` when there is no sample, or one that is not a positive number.
    """
    units = _units([_times(block) for block in blocks])
    values = np.sort(np.concatenate(units))
    n = len(values)
    given = {key: q for key, q in PERCENTILES.items() if n >= samples_for_percentile(q)}
    reasons = {
        key: f"n = {n}, and {_percent(q)} takes at least {samples_for_percentile(q)} samples"
        for key, q in PERCENTILES.items()
        if key not in given
    }
    counts = _resampled_counts(len(units))
    ci95 = {
        key: _wider(_bootstrap_quantile(units, values, counts, q), _order_statistics(units, values, q))
        for key, q in given.items()
    }
    if len(units) > 1:
        ci95["mean"] = _bootstrap_mean(units, counts)
    else:
        reasons["mean"] = "one sample has no interval"
    figures = {key: float(np.quantile(values, q)) if key in given else None for key, q in PERCENTILES.items()}
    return Latency(**figures, mean=float(values.mean()), n=n, ci95=ci95, reasons=reasons)


def speedup(base: Blocks, new: Blocks) -> tuple[float, float, float]:
    """Return how many times faster ``new`` is than ``base``, and the limits of its 95 % interval.

    Block i of both comes from round i of one interleaved run, so that drift falls on both and cancels in the ratio of
    their medians. Over the rounds' log ratios the estimate is Hodges and Lehmann's median of pairwise means, with
    Wilcoxon's signed-rank interval: as sharp as a mean where the machine is quiet, and unmoved by a few rounds that
    something else disturbed. It assumes that the order within a round is random.
    Raises ``MeasureError`` when the rounds do not pair up or there are fewer than six.
    """
    if len(base) != len(new) or len(base) < _MIN_ROUNDS:
        raise MeasureError(
            "a speedup takes rounds in which both candidates ran", got=f"{len(base)} and {len(new)} blocks",
            expected=f"equally many, at least {_MIN_ROUNDS}", fix="measure longer",
        )  # fmt: skip
    pairs = zip(base, new, strict=True)
    ratios = np.array([np.median(_times(old)) / np.median(_times(fresh)) for old, fresh in pairs])
    logs = np.log(ratios)
    first, second = np.triu_indices(len(logs))
    means = np.sort((logs[first] + logs[second]) / 2)
    rank = _signed_rank(len(logs))
    low, middle, high = np.exp([means[rank - 1], np.median(means), means[-rank]])
    return float(middle), float(low), float(high)


def noise_floor(blocks: Blocks, again: Blocks) -> float:
    """Return how large a speedup this run shows where there is none: the A/A control.

    Both arguments are blocks of one model, measured as two candidates. The result is the far end of the interval of
    their ratio, in either direction, less 1: at 0.03 a speedup of 1.03 cannot be told from chance.
    """
    _, low, high = speedup(blocks, again)
    return max(high, 1 / low) - 1


def proportion_interval(successes: int, n: int) -> Interval:
    """Return Wilson's score interval of a proportion, within 0 to 1; exact enough from n = 1 on."""
    if n < 1 or not 0 <= successes <= n:
        raise DataError("a proportion takes at least one sample", got=f"{successes} of {n}")
    share, shrink = successes / n, 1 + _Z**2 / n
    centre = (share + _Z**2 / (2 * n)) / shrink
    half = _Z / shrink * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)


def mean_interval(values: ArrayLike) -> Interval:
    """Return Student's interval of a mean; ``values`` is [n] with n >= 2, else ``DataError``."""
    scores = _scores(values)
    if len(scores) < 2:
        raise DataError("the interval of a mean takes at least two samples", got=f"{len(scores)}")
    mean = float(scores.mean())
    half = _student(len(scores) - 1) * float(scores.std(ddof=1)) / math.sqrt(len(scores))
    return mean - half, mean + half


def paired_drop(reference: ArrayLike, scores: ArrayLike, vs: str, *, hits: bool = True) -> AccuracyDrop:
    """Compare two models' scores of the same samples, both [n], higher is better; the drop is in points (x 100).

    Scores of 0 and 1 get Tango's score interval for paired proportions, which stays honest when no sample differs:
    0 of n disagreements still leave a drop of up to 3.84 / (n + 3.84) possible. Others get Student's interval over the
    differences and two pseudo-samples, one that loses and one that gains the whole observed range, to the same end.
    ``hits`` is False for scores that are no shares of hits even where all are 0 or 1, such as cosines of equal outputs.
    Raises ``DataError`` when lengths differ, there is no sample, or a score is NaN.
    """
    old, new = _scores(reference), _scores(scores)
    if len(old) != len(new):
        raise DataError("the two models were not scored on the same samples", got=f"{len(old)} and {len(new)} scores")
    lost = old - new
    if hits and _binary(old) and _binary(new):
        low, high = _tango(int((lost > 0).sum()), int((lost < 0).sum()), len(lost))
    else:
        both = np.concatenate([old, new])
        span = float(both.max() - both.min())
        low, high = mean_interval(np.append(lost, [span, -span]))
    return AccuracyDrop(
        pt=100 * float(lost.mean()), ci95=(100 * low, 100 * high), n=len(lost),
        disagreements=int(np.count_nonzero(lost)), vs=vs,
    )  # fmt: skip


def samples_needed(margin_pt: float, disagreement: float, alpha: float = _ALPHA) -> int:
    """Return how many samples show, with 80 % power, that a model without a drop loses less than ``margin_pt`` points.

    ``disagreement`` is the share of samples on which the two models differ, 0 to 1; ``alpha`` is one-sided, and a gate
    on a two-sided 95 % interval has 0.025. The normal approximation gives (z_alpha + z_0.2)^2 r / m^2 (6.18 r / m^2 at
    0.05); never fewer than it takes when no sample differs at all.
    """
    if margin_pt <= 0:
        raise ValueError("no number of samples shows a drop of at most nothing")
    margin, z = margin_pt / 100, NormalDist().inv_cdf(1 - alpha)
    power = (z + NormalDist().inv_cdf(0.8)) ** 2 * disagreement / margin**2
    return math.ceil(max(power, z**2 * (1 / margin - 1)))


def _times(block: Sequence[float]) -> Floats:
    times = np.asarray(block, dtype=np.float64)
    if times.ndim != 1 or not len(times):
        raise MeasureError("a block has no samples", got=f"shape {times.shape}", expected="at least one call per block")
    wrong = times[~(np.isfinite(times) & (times > 0))]
    if len(wrong):
        raise MeasureError("a latency is not a positive number", got=f"{wrong[0]} ms")
    return times


def _percent(quantile: float) -> str:
    return f"p{100 * quantile:g}"


def _units(blocks: list[Floats]) -> list[Floats]:
    """Cut too few blocks into contiguous parts, so that resampling has something to choose from."""
    if not blocks:
        raise MeasureError("there are no samples", fix="measure longer")
    parts = math.ceil(_MIN_UNITS / len(blocks))
    return [unit for block in blocks for unit in np.array_split(block, min(parts, len(block)))]


def _resampled_counts(units: int) -> NDArray[np.int64]:
    """Return how often each unit was drawn in each bootstrap replicate: [replicates, units]."""
    counts: NDArray[np.int64] = np.random.default_rng(0).multinomial(units, np.full(units, 1 / units), _REPLICATES)
    return counts


def _bootstrap_quantile(units: list[Floats], values: Floats, counts: NDArray[np.int64], quantile: float) -> Interval:
    """Bisect, for all replicates at once, for the sample that the wanted share of the drawn samples does not exceed."""
    ordered = [np.sort(unit) for unit in units]
    wanted = quantile * (counts @ np.array([len(unit) for unit in units]))
    low, high = np.zeros(len(counts), dtype=np.int64), np.full(len(counts), len(values) - 1)
    while (low < high).any():
        middle = (low + high) // 2
        probes, where = np.unique(middle, return_inverse=True)
        below = np.stack([np.searchsorted(unit, values[probes], side="right") for unit in ordered])
        reached = np.einsum("ru,ur->r", counts, below[:, where]) >= wanted
        low, high = np.where(reached, low, middle + 1), np.where(reached, middle, high)
    return _expanded(values[low], len(units))


def _bootstrap_mean(units: list[Floats], counts: NDArray[np.int64]) -> Interval:
    sums, sizes = np.array([unit.sum() for unit in units]), np.array([len(unit) for unit in units])
    return _expanded((counts @ sums) / (counts @ sizes), len(units))


def _expanded(replicates: Floats, units: int) -> Interval:
    """Take the percentile interval, expanded for few units as Student's t is against the normal (Hesterberg, 2015)."""
    degrees = max(units - 1, 1)
    tail = NormalDist().cdf(-math.sqrt(units / degrees) * _student(degrees))
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def _order_statistics(units: list[Floats], values: Floats, quantile: float) -> Interval:
    """Return the samples between whose ranks a percentile lies, by the exact binomial; the extremes at the ends.

    The samples count as fewer by the design effect: how much more the units' shares of samples beyond the percentile
    vary than they would if samples were independent.
    """
    edge = np.quantile(values, quantile)
    sizes = np.array([len(unit) for unit in units])
    beyond = np.array([np.count_nonzero(unit > edge) for unit in units])
    excess = (beyond - sizes * (1 - quantile)) ** 2 / (sizes * quantile * (1 - quantile))
    n = math.ceil(len(values) / max(float(excess.mean()), 1.0))
    low, high = _binomial_interval(n, quantile)
    last = len(values) - 1
    return float(values[math.floor(max(low - 1, 0) / n * last)]), float(values[min(math.ceil(high / n * last), last)])


def _binomial_interval(n: int, share: float) -> tuple[int, int]:
    """Return the 2.5 % quantile of the binomial distribution, and one more than its 97.5 % quantile."""
    mean = n * share
    reach = 10 * math.sqrt(mean * (1 - share)) + 10
    k = np.arange(max(math.floor(mean - reach), 0), min(math.ceil(mean + reach), n) + 1)
    steps = np.log((n - k[:-1]) / (k[:-1] + 1)) + math.log(share / (1 - share))
    weights = np.concatenate([[0.0], np.cumsum(steps)])
    weights = np.exp(weights - weights.max())
    cdf = np.cumsum(weights) / weights.sum()
    return int(k[np.searchsorted(cdf, _ALPHA / 2, side="right")]), int(k[np.searchsorted(cdf, 1 - _ALPHA / 2)]) + 1


def _wider(one: Interval, other: Interval) -> Interval:
    return min(one[0], other[0]), max(one[1], other[1])


def _signed_rank(n: int) -> int:
    """Return the rank, from either end of the pairwise means, of the limits of the 95 % interval; n >= 6."""
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1
    for rank in range(1, n + 1):
        ways[rank:] = ways[rank:] + ways[:-rank]
    return int(np.searchsorted(np.cumsum(ways / 2.0**n), _ALPHA / 2, side="right"))


def _student(degrees: int) -> float:
    """Return Student's 97.5 % quantile, by the expansion of Abramowitz and Stegun 26.7.5 (within 1 % from 2 on)."""
    z, v = _Z, degrees
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )


def _tango(lost: int, gained: int, n: int) -> Interval:
    """Return Tango's (1998) interval of the difference of two paired proportions, by bisection."""

    def score(delta: float) -> float:
        a, c = 2 * n, -gained * delta * (1 - delta)
        b = -lost - gained + (2 * n - lost + gained) * delta
        gain_rate = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        variance = n * (2 * gain_rate + delta * (1 - delta))
        distance = lost - gained - n * delta
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    estimate = (lost - gained) / n
    return _crossing(score, -1.0, estimate, _Z), _crossing(score, estimate, 1.0, -_Z)


def _crossing(falling: Callable[[float], float], low: float, high: float, level: float) -> float:
    """Return where a falling function passes ``level`` between ``low`` and ``high``."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > level else (low, middle)
    return (low + high) / 2


def _scores(values: ArrayLike) -> Floats:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not len(scores):
        raise DataError("there are no scores", got=f"shape {scores.shape}", expected="one score per sample")
    if np.isnan(scores).any():
        raise DataError("a score is NaN", where=f"sample {int(np.isnan(scores).argmax())}")
    return scores


def _binary(scores: Floats) -> bool:
    return bool(np.isin(scores, (0.0, 1.0)).all())
