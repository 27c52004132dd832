"""Figures of what became of requests: nothing is left out, and stalls widen the intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from load_example import figures, noisy, volley

from mlopt.loadtest.figures import by_time, cut, latencies_ms, share_interval, summed


def test_percentiles_are_of_all_requests_and_have_their_intervals() -> None:
    found = figures(noisy(4000))
    assert found.requests == found.answered == 4000
    assert found.error_rate == 0
    assert found.errors == {}
    assert found.latency_ms.p99 is not None
    assert found.latency_ms.ci95["p99"][0] <= found.latency_ms.p99 <= found.latency_ms.ci95["p99"][1]
    assert found.answered_ms is not None
    assert found.answered_ms.p50 == found.latency_ms.p50
    assert found.answered_per_s == pytest.approx(200)


def test_latency_counts_from_the_moment_and_not_from_the_sending() -> None:
    found = figures([10.0] * 500, late_ms=30.0)
    assert found.latency_ms.p50 == pytest.approx(40)
    assert found.lateness_ms is not None
    assert found.lateness_ms.p50 == pytest.approx(30)


def test_a_request_that_failed_took_the_time_limit_however_soon_it_did() -> None:
    failed = [(number, "http_503") for number in range(0, 1000, 20)]
    found = figures(noisy(1000), failed=failed)
    assert found.errors == {"http_503": 50}
    assert found.error_rate == pytest.approx(0.05)
    assert found.latency_ms.p99 == pytest.approx(10_000)
    assert found.answered_ms is not None
    assert found.answered_ms.p99 is not None
    assert found.answered_ms.p99 < 30
    assert found.answered_ms.n == 950


def test_a_percentile_that_so_few_requests_cannot_support_is_null_with_its_reason() -> None:
    found = figures(noisy(100))
    assert found.latency_ms.p99 is None
    assert "at least 299" in found.latency_ms.reasons["p99"]
    assert found.latency_ms.p50 is not None


def test_where_nothing_was_sent_there_are_figures_all_the_same() -> None:
    none = volley([1.0] * 20, failed=[(number, "unsent") for number in range(20)])
    none.sent[:] = none.done[:] = np.nan
    found = summed(none, 1.0, 20.0, 5.0)
    assert (found.answered, found.answered_ms, found.lateness_ms) == (0, None, None)
    assert found.error_rate == 1
    assert found.latency_ms.p50 == 5000


def test_errors_that_come_together_say_less_than_as_many_that_do_not() -> None:
    spread = [np.arange(100) == 0 for _ in range(20)]
    together = [np.arange(100) < (20 if place == 3 else 0) for place in range(20)]
    narrow, wide = share_interval(spread), share_interval(together)
    assert narrow[0] <= 0.01 <= narrow[1]
    assert wide[0] < narrow[0]
    assert wide[1] > 2 * narrow[1]


def test_no_error_in_a_thousand_requests_may_still_be_one_in_three_hundred() -> None:
    low, high = share_interval([np.zeros(100, bool)] * 10)
    assert low == 0
    assert 0.003 < high < 0.005


@settings(max_examples=50)
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=30), min_size=1, max_size=20))
def test_the_share_lies_in_its_interval(stretches: list[list[bool]]) -> None:
    arrays = [np.array(each) for each in stretches]
    share = float(np.concatenate(arrays).mean())
    low, high = share_interval(arrays)
    assert 0 <= low <= share <= high <= 1


@given(st.lists(st.floats(0, 9.99), min_size=1, max_size=200), st.integers(1, 50))
def test_stretches_of_time_hold_every_request_once(moments: list[float], count: int) -> None:
    given_moments = np.sort(np.array(moments))
    parts = cut(given_moments, 10.0, count)
    assert len(parts) == count
    assert np.array_equal(np.concatenate([given_moments[part] for part in parts]), given_moments)
    for number, part in enumerate(parts):
        assert all(10 * number / count <= moment + 1e-9 for moment in given_moments[part])
    assert all(part.stop > part.start for part in by_time(given_moments, 10.0))


def test_a_stall_stands_out_over_time() -> None:
    took = np.full(2000, 10.0)
    took[1000:1050] = np.linspace(500, 10, 50)
    found = figures(took.tolist(), failed=[(1010, "timeout")])
    assert sum(each.requests for each in found.over_time) == 2000
    stalled = [each for each in found.over_time if (each.most_ms or 0) > 100]
    assert len(stalled) == 1
    assert stalled[0].start_s == pytest.approx(10)
    assert stalled[0].failed == 1


def test_a_request_that_failed_late_took_longer_than_the_limit() -> None:
    found = latencies_ms(volley([12_000.0, 5.0], 1.0, failed=[(0, "timeout"), (1, "wrong")]), 10.0)
    assert found.tolist() == pytest.approx([12_000, 10_000])
