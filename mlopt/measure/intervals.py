"""Intervals of shares, means and accuracy drops, and how many samples one takes.

Pure functions of numbers. ``alpha`` is the share of runs in which an interval may miss the truth: 0.05 for 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlopt.core.errors import DataError
from mlopt.results.figures import AccuracyDrop
from mlopt.results.section import Interval

_TABLED_DEGREES = 60  # beyond, the expansion of Student's quantile is good to four digits


def proportion_interval(successes: int, n: int, alpha: float = 0.05) -> Interval:
    """Return Wilson's score interval of a proportion, within 0 to 1; exact enough from n = 1 on."""
    if n < 1 or not 0 <= successes <= n:
        raise DataError("a proportion takes at least one sample", got=f"{successes} of {n}")
    z = normal(alpha)
    share, shrink = successes / n, 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)


def mean_interval(values: ArrayLike, alpha: float = 0.05) -> Interval:
    """Return Student's interval of a mean; ``values`` is [n] with n >= 2, else ``DataError``."""
    scores = _scores(values)
    if len(scores) < 2:
        raise DataError("the interval of a mean takes at least two samples", got=f"{len(scores)}")
    mean = float(scores.mean())
    half = student(len(scores) - 1, alpha) * float(scores.std(ddof=1)) / math.sqrt(len(scores))
    return mean - half, mean + half


def rescaled(value: float, interval: Interval, n: int, alpha_from: float, alpha_to: float) -> Interval:
    """Turn Student's interval of a mean of n samples at one error rate into the one at another.

    ``value`` lies in the interval; each side is stretched by the ratio of Student's quantiles.
    """
    degrees = max(n - 1, 1)
    stretch = student(degrees, alpha_to) / student(degrees, alpha_from)
    return value - (value - interval[0]) * stretch, value + (interval[1] - value) * stretch


def paired_drop(
    reference: ArrayLike, scores: ArrayLike, vs: str, *, hits: bool = True, alpha: float = 0.05
) -> AccuracyDrop:
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
    drops = old - new
    lost = gained = None
    if hits and _binary(old) and _binary(new):
        lost, gained = int((drops > 0).sum()), int((drops < 0).sum())
        low, high = tango(lost, gained, len(drops), alpha)
    else:
        both = np.concatenate([old, new])
        span = float(both.max() - both.min())
        low, high = mean_interval(np.append(drops, [span, -span]), alpha)
    return AccuracyDrop(
        pt=100 * float(drops.mean()), ci95=(100 * low, 100 * high), n=len(drops),
        disagreements=int(np.count_nonzero(drops)), vs=vs, lost=lost, gained=gained,
    )  # fmt: skip


def tango(lost: int, gained: int, n: int, alpha: float = 0.05) -> Interval:
    """Return Tango's (1998) interval of the difference of two paired proportions, -1 to 1, by bisection.

    Of n samples, ``lost`` are right in the first alone and ``gained`` in the second alone. Raises ``DataError`` for
    counts that do not fit n.
    """
    if min(lost, gained) < 0 or n < max(lost + gained, 1):
        raise DataError("the counts of a drop do not fit together", got=f"{lost} lost and {gained} gained of {n}")

    def score(delta: float) -> float:
        a, c = 2 * n, -gained * delta * (1 - delta)
        b = -lost - gained + (2 * n - lost + gained) * delta
        gain_rate = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        variance = n * (2 * gain_rate + delta * (1 - delta))
        distance = lost - gained - n * delta
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    estimate, z = (lost - gained) / n, normal(alpha)
    return _crossing(score, -1.0, estimate, z), _crossing(score, estimate, 1.0, -z)


def samples_needed(margin_pt: float, disagreement: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return how many samples show that a model without a drop loses less than ``margin_pt`` points.

    ``disagreement`` is the share of samples on which the two models differ, 0 to 1; ``alpha`` is one-sided, and a gate
    on a two-sided 95 % interval has 0.025; ``power`` is how often that many samples suffice. The normal approximation
    gives (z_alpha + z_power)^2 r / m^2 (6.18 r / m^2 by default); never fewer than it takes when no sample differs.
    """
    if margin_pt <= 0:
        raise ValueError("no number of samples shows a drop of at most nothing")
    margin, z = margin_pt / 100, NormalDist().inv_cdf(1 - alpha)
    powerful = (z + NormalDist().inv_cdf(power)) ** 2 * disagreement / margin**2
    return math.ceil(max(powerful, z**2 * (1 / margin - 1)))


def normal(alpha: float) -> float:
    """Return the normal distribution's quantile at 1 - alpha / 2: 1.96 for 0.05."""
    return NormalDist().inv_cdf(1 - alpha / 2)


@lru_cache(maxsize=1024)
def student(degrees: int, alpha: float) -> float:
    """Return Student's quantile at 1 - alpha / 2, for whole degrees of freedom from 1 on.

    Up to 60 degrees by bisection of the distribution's closed form, beyond by expansion in 1 / degrees (Abramowitz and
    Stegun 26.7.3, 26.7.4 and 26.7.5).
    """
    z, v = normal(alpha), degrees
    if degrees <= _TABLED_DEGREES:
        return _crossing(lambda t: _outside(t, degrees), 0.0, 10 / alpha + 10 * z, alpha)
    return z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)


def _outside(t: float, degrees: int) -> float:
    """Return the probability that Student's t is further than ``t`` from 0."""
    angle = math.atan(t / math.sqrt(degrees))
    term = total = math.cos(angle) if degrees % 2 else 1.0
    for k in range(3 if degrees % 2 else 2, degrees, 2):
        term *= math.cos(angle) ** 2 * (k - 1) / k
        total += term
    if degrees % 2 == 0:
        return 1 - math.sin(angle) * total
    return 1 - 2 / math.pi * (angle + (math.sin(angle) * total if degrees > 1 else 0.0))


def _crossing(falling: Callable[[float], float], low: float, high: float, level: float) -> float:
    """Return where a falling function passes ``level`` between ``low`` and ``high``."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > level else (low, middle)
    return (low + high) / 2


def _scores(values: ArrayLike) -> NDArray[np.float64]:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not len(scores):
        raise DataError("there are no scores", got=f"shape {scores.shape}", expected="one score per sample")
    if np.isnan(scores).any():
        raise DataError("a score is NaN", where=f"sample {int(np.isnan(scores).argmax())}")
    return scores


def _binary(scores: NDArray[np.float64]) -> bool:
    return bool(np.isin(scores, (0.0, 1.0)).all())
