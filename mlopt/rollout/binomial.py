"""Exact intervals of shares, and of the difference of two. Pure; sizes need not be whole, as dispersion shrinks them.

The binomial distribution is computed by the incomplete beta function (Abramowitz and Stegun 26.5.24), that by its
continued fraction (26.5.8). Shares are Clopper and Pearson's (1934): they never cover less than they say, which matters
here because many looks make each one's error rate small, where approximations by the normal distribution are worst.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Interval = tuple[float, float]

_STEPS, _PRECISION, _TINY = 500, 1e-12, 1e-300


def at_most(k: float, n: float, p: float) -> float:
    """Return the probability of at most k of n, each with probability p."""
    if k >= n or p <= 0:
        return 1.0
    return 0.0 if k < 0 or p >= 1 else _beta(1 - p, n - k, k + 1)


def share_interval(k: float, n: float, alpha: float) -> Interval:
    """Return the interval of a share of which k of n were seen; 0 to 1 where nothing was."""
    if n <= 0:
        return 0.0, 1.0
    low = 0.0 if k <= 0 else _solved(lambda p: 1 - at_most(k - 1, n, p) - alpha / 2, 0.0, k / n)
    high = 1.0 if k >= n else _solved(lambda p: alpha / 2 - at_most(k, n, p), k / n, 1.0)
    return low, high


def difference_interval(one: tuple[float, float], other: tuple[float, float], alpha: float) -> Interval:
    """Return the interval of the first share less the second, each given as (k, n).

    The shares' own intervals, joined as Newcombe's (1998) method 10 joins Wilson's.
    """
    (a, n), (b, m) = one, other
    if n <= 0 or m <= 0:
        return -1.0, 1.0
    p, q = a / n, b / m
    (low_p, high_p), (low_q, high_q) = share_interval(a, n, alpha), share_interval(b, m, alpha)
    return p - q - math.hypot(p - low_p, high_q - q), p - q + math.hypot(high_p - p, q - low_q)


def dispersion(hits: Sequence[float], sizes: Sequence[float]) -> float:
    """Return how many times more the shares of several windows vary than if requests were independent; at least 1.

    Fewer than five windows with requests cannot tell: 1.
    """
    some = [(hit, size) for hit, size in zip(hits, sizes, strict=True) if size > 0]
    total = sum(size for _, size in some)
    share = sum(hit for hit, _ in some) / total if total else 0.0
    if len(some) < 5 or not 0 < share < 1:
        return 1.0
    excess = sum((hit - size * share) ** 2 / (size * share * (1 - share)) for hit, size in some)
    return max(excess / (len(some) - 1), 1.0)


def _solved(rising: Callable[[float], float], low: float, high: float) -> float:
    """Return where a rising function is 0."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2


def _beta(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function."""
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    front = math.exp(log_front)
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction, by Lentz's method."""
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
