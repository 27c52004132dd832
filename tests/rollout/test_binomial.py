"""Intervals of shares: exact against sums over all outcomes, and covering what they say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mlopt.rollout.binomial import at_most, difference_interval, dispersion, share_interval

SHARES = some.floats(0.001, 0.999)


def summed(k: int, n: int, p: float) -> float:
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@given(some.integers(1, 200), some.data(), SHARES)
def test_the_distribution(n: int, data: some.DataObject, p: float) -> None:
    k = data.draw(some.integers(0, n))
    assert at_most(k, n, p) == pytest.approx(summed(k, n, p), rel=1e-7, abs=1e-12)


def test_of_many() -> None:
    """As large as a day's requests: half of them are at most the mean."""
    assert at_most(500_000, 1_000_000, 0.5) == pytest.approx(0.5, abs=1e-3)
    assert at_most(9_500, 1_000_000, 0.01) < 1e-6


@given(some.integers(1, 100), some.data(), some.sampled_from([0.05, 0.001]))
def test_an_interval_ends_where_so_few_or_many_become_unlikely(n: int, data: some.DataObject, alpha: float) -> None:
    k = data.draw(some.integers(0, n))
    low, high = share_interval(k, n, alpha)
    assert low <= k / n <= high
    assert low == 0 if k == 0 else 1 - at_most(k - 1, n, low) == pytest.approx(alpha / 2, rel=1e-6)
    assert high == 1 if k == n else at_most(k, n, high) == pytest.approx(alpha / 2, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.05, 0.001])
@pytest.mark.parametrize("p", [0.001, 0.02, 0.5])
@pytest.mark.parametrize("n", [20, 150])
def test_it_covers_the_truth_as_often_as_it_says(n: int, p: float, alpha: float) -> None:
    inside = [k for k in range(n + 1) if share_interval(k, n, alpha)[0] <= p <= share_interval(k, n, alpha)[1]]
    assert math.fsum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in inside) >= 1 - alpha


@pytest.mark.parametrize(("n", "m"), [(20, 200), (60, 60)])
@pytest.mark.parametrize(("p", "q"), [(0.02, 0.02), (0.1, 0.1), (0.2, 0.02)])
def test_the_difference_is_covered_as_often_as_it_says(n: int, m: int, p: float, q: float) -> None:
    def chance(k: int, size: int, share: float) -> float:
        return math.comb(size, k) * share**k * (1 - share) ** (size - k)

    missed = 0.0
    for k in range(n + 1):
        if chance(k, n, p) < 1e-9:
            continue
        for j in range(m + 1):
            weight = chance(k, n, p) * chance(j, m, q)
            if weight < 1e-7:
                continue
            low, high = difference_interval((k, n), (j, m), 0.05)
            missed += weight * (not low <= p - q <= high)
    assert missed <= 0.05


def test_nothing_seen_says_nothing() -> None:
    assert share_interval(0, 0, 0.05) == (0.0, 1.0)
    assert difference_interval((0, 0), (0, 10), 0.05) == (-1.0, 1.0)


def test_windows_that_vary_more_than_chance_count_as_fewer() -> None:
    assert dispersion([5] * 10, [100] * 10) == 1
    assert dispersion([0] * 9 + [50], [100] * 10) > 20
    assert dispersion([0, 50], [100, 100]) == 1, "two cannot tell"
    assert dispersion([0] * 10, [100] * 10) == 1
