"""The rule: pass, fail or undecided, each only with the whole interval on its side."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from simulated_traffic import EDGES

from mlopt.rollout.comparison import (
    CanaryFinding,
    CanaryLimits,
    alpha_of,
    judge,
    middle,
    overall,
    quantile_interval,
)
from mlopt.rollout.observed import Observed, together

LIMITS = CanaryLimits()


def timed(times: list[float], **more: int) -> Observed:
    counts = np.bincount(np.searchsorted(EDGES, times), minlength=len(EDGES) + 1)
    return Observed(len(times), edges=EDGES, counts=tuple(map(int, counts)), **more)


def metrics(findings: tuple[CanaryFinding, ...]) -> dict[str, str]:
    return {each.metric.split(",")[0]: each.verdict for each in findings}


def test_all_looks_together_err_no_more_than_was_said() -> None:
    assert sum(alpha_of(look, 0.01) for look in range(1, 100_000)) < 0.01


def test_many_good_answers_pass() -> None:
    block = timed([0.02] * 5000, same=5000)
    findings = judge([block], [block], LIMITS, 1)
    assert overall(findings) == "pass"
    assert metrics(findings)["answers"] == "pass"


def test_few_decide_nothing() -> None:
    block = timed([0.02] * 20)
    assert overall(judge([block], [block], LIMITS, 1)) == "inconclusive"
    assert overall(judge([], [], LIMITS, 1)) == "inconclusive"


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (Observed(200, 40, EDGES, timed([0.02] * 200).counts), "errors"),
        (timed([0.06] * 200), "latency p50"),
        (timed([0.02] * 170 + [0.5] * 30), "latency p95"),
        (timed([0.02] * 200, different=30, same=170), "answers"),
        (Observed(200, 0, EDGES, timed([0.02] * 200).counts, failed=30, same=170), "answers"),
    ],
)
def test_what_is_worse_fails_and_says_where(bad: Observed, what: str) -> None:
    findings = judge([timed([0.02] * 2000)], [bad], LIMITS, 3)
    assert overall(findings) == "fail"
    assert metrics(findings)[what] == "fail"


def test_what_is_bad_in_both_is_no_fault_of_the_candidate() -> None:
    bad = Observed(4000, 800, EDGES, timed([0.3] * 4000).counts)
    findings = judge([bad], [bad], CanaryLimits(errors=0.05), 1)
    assert overall(findings) == "pass"


def test_without_answers_that_were_compared_nothing_is_said_of_them() -> None:
    block = timed([0.02] * 100)
    assert "answers" not in metrics(judge([block], [block], LIMITS, 1))


def test_a_version_that_is_better_passes() -> None:
    findings = judge([timed([0.05] * 5000)], [timed([0.01] * 5000)], LIMITS, 1)
    assert overall(findings) == "pass"


@given(some.lists(some.floats(0.0011, 9), min_size=400, max_size=400), some.sampled_from([0.5, 0.95]))
def test_a_quantile_lies_where_it_is_said_to(times: list[float], quantile: float) -> None:
    """The samples' own quantile is within, and so is its bucket."""
    low, high = quantile_interval([timed(times)], quantile, 0.01)
    true = float(np.quantile(times, quantile, method="inverted_cdf"))
    assert low < true <= high


def test_an_interval_ends_at_edges_and_says_when_it_has_none() -> None:
    block = Observed(1000, edges=(0.01, 0.1), counts=(0, 1000, 0))
    assert quantile_interval([block], 0.5, 0.01) == (0.01, 0.1)
    assert quantile_interval([Observed(1000, edges=(0.01,), counts=(0, 1000))], 0.5, 0.01) == (0.01, math.inf)
    assert quantile_interval([Observed(10)], 0.5, 0.01) == (0.0, math.inf)
    few = Observed(10, edges=(0.01, 0.1), counts=(0, 10, 0))
    assert quantile_interval([few], 0.99, 0.01)[1] == math.inf, "of ten, none need be among the slowest hundredth"


def test_whole_milliseconds_are_known_to_a_millisecond() -> None:
    block = Observed(1000, edges=(0.01, 0.02), counts=(0, 1000, 0), blur_s=0.001)
    assert quantile_interval([block], 0.5, 0.01) == pytest.approx((0.009, 0.021))


def test_coarse_buckets_leave_a_small_difference_open() -> None:
    fast = Observed(100_000, edges=(0.01, 0.1), counts=(0, 100_000, 0))
    assert metrics(judge([fast], [fast], LIMITS, 1))["latency p50"] == "inconclusive"


def test_requests_that_come_in_bad_moments_count_as_fewer() -> None:
    even = [timed([0.01] * 90 + [0.2] * 10) for _ in range(10)]
    uneven = [timed([0.01] * 100) for _ in range(9)] + [timed([0.2] * 100)]
    assert together(even) == together(uneven)
    spans = [math.log(high / low) for low, high in (quantile_interval(each, 0.9, 0.01) for each in (even, uneven))]
    assert spans[1] > spans[0]


def test_the_middle_is_within_its_bucket() -> None:
    block = Observed(10, edges=(0.01, 0.02), counts=(0, 10, 0))
    assert middle(block, 0.5) == pytest.approx(0.015)
    assert middle(Observed(10, edges=(0.01,), counts=(0, 10)), 0.5) is None
