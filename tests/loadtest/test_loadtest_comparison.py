"""Two servers compared: equal ones are not told apart, a slower one is."""

from __future__ import annotations

import numpy as np
import pytest

from mlopt.loadtest import comparison
from mlopt.loadtest.arrivals import Floats
from mlopt.results.serving import ServedDifference

STRETCHES, EACH = 30, 40


def servers(seed: int, factor: float = 1.0, tail: float = 1.0) -> tuple[ServedDifference, ...]:
    """Compare two servers whose machine is disturbed for both alike; the first is slower by these factors."""
    random = np.random.default_rng(seed)
    disturbed = random.gamma(50, 1 / 50, STRETCHES)

    def one(slower: float, longer: float) -> list[Floats]:
        latencies = 20 * disturbed[:, None] * random.gamma(30, 1 / 30, (STRETCHES, EACH)) * slower
        slow = random.random((STRETCHES, EACH)) < 0.03
        return list(np.where(slow, latencies * 3 * longer, latencies))

    return comparison.differences(one(factor, tail), one(1.0, 1.0))


@pytest.mark.heavy
def test_equal_servers_are_told_apart_in_few_runs_of_a_thousand() -> None:
    alarms = sum(any(each.found in ("slower", "faster") for each in servers(seed)) for seed in range(200))
    assert alarms <= 4


def test_a_tenth_slower_is_found_and_by_how_much() -> None:
    found = [servers(seed, 1.1)[0] for seed in range(50)]
    assert sum(each.found == "slower" for each in found) >= 48
    assert np.mean([each.difference_ms for each in found]) == pytest.approx(2.0, rel=0.15)
    assert sum(servers(seed, 1 / 1.1)[0].found == "faster" for seed in range(50)) >= 48


def test_a_longer_tail_is_found_where_the_medians_are_equal() -> None:
    median, tail = servers(1, tail=3.0)
    assert median.found == "no difference shown"
    assert tail.percentile == "p99"
    assert tail.found == "slower"
    assert tail.interval is not None
    assert tail.interval[0] > 0


def test_a_difference_of_a_hundredth_is_none_however_sure_it_is() -> None:
    steady = [np.full(50, 20.0) for _ in range(30)]
    slightly = [np.full(50, 20.2) for _ in range(30)]
    median, tail = comparison.differences(slightly, steady)
    assert median.difference_ms == pytest.approx(0.2)
    assert (median.found, tail.found) == ("no difference shown", "no difference shown")


def test_too_few_stretches_or_requests_are_told() -> None:
    few = [np.full(5, 20.0) for _ in range(8)]
    median, tail = comparison.differences(few, few)
    assert (median.found, tail.found) == ("not known", "not known")
    assert "8 stretches" in str(median.reason)
    assert "n = 40" in str(tail.reason)


def test_a_stretch_in_which_only_one_was_asked_is_left_out() -> None:
    one = [np.full(20, 10.0) for _ in range(20)]
    other = [np.full(20, 10.0) if place else np.zeros(0) for place in range(20)]
    one[0] = np.full(20, 1000.0)
    assert comparison.differences(one, other)[0].difference_ms == 0


def test_a_run_is_cut_into_stretches_with_enough_requests_each() -> None:
    assert comparison.stretches(10) == 12
    assert comparison.stretches(400) == 20
    assert comparison.stretches(100_000) == 40
