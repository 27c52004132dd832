"""Intervals of shares, means and drops: those of the literature, honest where nothing differs, and what they take."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.core.errors import DataError
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

binary = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)


def test_wilson_matches_published_figures() -> None:
    """Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (successes, n), interval in published.items():
        assert proportion_interval(successes, n) == pytest.approx(interval, abs=1e-4)


def test_student_matches_the_tables() -> None:
    low, high = mean_interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)), abs=1e-4)
    values = np.arange(20.0)
    half = 2.0930 * values.std(ddof=1) / math.sqrt(20)
    assert mean_interval(values) == pytest.approx((9.5 - half, 9.5 + half), rel=1e-4)
    published = {(1, 0.05): 12.7062, (2, 0.01): 9.9248, (9, 0.05): 2.2622, (60, 0.01): 2.6603, (120, 0.05): 1.9799}
    assert {key: student(*key) for key in published} == pytest.approx(published, abs=1e-4)


def test_an_interval_of_a_mean_can_be_had_at_another_level() -> None:
    values = np.random.default_rng(17).normal(size=12)
    again = rescaled(float(values.mean()), mean_interval(values), 12, 0.05, 0.01)
    assert again == pytest.approx(mean_interval(values, 0.01))


def test_fewer_errors_take_wider_intervals_of_shares_and_drops() -> None:
    assert proportion_interval(81, 263, 0.01)[0] < proportion_interval(81, 263)[0]
    assert tango(9, 2, 120, 0.01)[1] > tango(9, 2, 120)[1]
    old, new = [1.0] * 9 + [0.0] * 2 + [1.0] * 109, [0.0] * 9 + [1.0] * 111
    found = paired_drop(old, new, "x", alpha=0.01)
    assert (found.lost, found.gained) == (9, 2)
    assert found.ci95 == pytest.approx([100 * limit for limit in tango(9, 2, 120, 0.01)])
    assert paired_drop([0.5, 0.2], [0.5, 0.1], "x").lost is None


@pytest.mark.parametrize(("lost", "gained", "n"), [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_counts_of_a_drop_must_fit(lost: int, gained: int, n: int) -> None:
    with pytest.raises(DataError, match=f"{lost} lost and {gained} gained of {n}"):
        tango(lost, gained, n)


def test_no_disagreement_is_not_no_drop() -> None:
    found = paired_drop([1.0] * 500 + [0.0] * 500, [1.0] * 500 + [0.0] * 500, "source")
    assert (found.pt, found.n, found.disagreements, found.vs) == (0.0, 1000, 0, "source")
    assert found.ci95 == pytest.approx((-100 * 3.8415 / 1003.8415, 100 * 3.8415 / 1003.8415), rel=1e-4)


def test_tango_inverts_the_score_test() -> None:
    """At either limit the score statistic, its nuisance found by brute force, is 1.96."""
    lost, gained, n = 9, 2, 120
    found = paired_drop([1.0] * lost + [0.0] * gained + [1.0] * (n - 11), [0.0] * lost + [1.0] * (n - lost), "x")
    assert found.pt == pytest.approx(100 * 7 / n)
    for limit in found.ci95:
        delta = limit / 100
        gain = np.linspace(max(0.0, -delta) + 1e-9, (1 - delta) / 2 - 1e-9, 400_001)
        likelihood = lost * np.log(gain + delta) + gained * np.log(gain) + (n - 11) * np.log(1 - 2 * gain - delta)
        best = gain[likelihood.argmax()]
        statistic = (lost - gained - n * delta) / math.sqrt(n * (2 * best + delta * (1 - delta)))
        assert abs(statistic) == pytest.approx(1.96, abs=1e-3)


@given(binary)
@settings(deadline=None)
def test_a_drop_turns_round_and_stays_in_bounds(pairs: list[tuple[bool, bool]]) -> None:
    old, new = np.array(pairs, dtype=float).T
    there, back = paired_drop(old, new, "x"), paired_drop(new, old, "x")
    assert there.ci95[0] - 1e-9 <= there.pt <= there.ci95[1] + 1e-9
    assert -100 <= there.ci95[0] <= there.ci95[1] <= 100
    assert back.ci95 == pytest.approx((-there.ci95[1], -there.ci95[0]), abs=1e-6)


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=60))
@settings(max_examples=50, deadline=None)
def test_a_drop_of_any_scores_lies_in_its_interval(pairs: list[tuple[float, float]]) -> None:
    old, new = np.array(pairs).T
    found = paired_drop(old, new, "x")
    assert found.ci95[0] - 1e-9 <= found.pt <= found.ci95[1] + 1e-9
    assert found.disagreements == sum(a != b for a, b in pairs)


@pytest.mark.parametrize(("n", "lost", "gained"), [(200, 0.02, 0.01), (1000, 0.005, 0.0), (300, 0.05, 0.05)])
def test_drop_intervals_cover_the_truth(n: int, lost: float, gained: float) -> None:
    rng, covered = np.random.default_rng(9), 0
    for _ in range(1000):
        fate = rng.random(n)
        old, new = fate < 0.7, (fate >= lost) & (fate < 0.7 + gained)
        low, high = paired_drop(old, new, "x").ci95
        covered += low <= 100 * (lost - gained) <= high
    assert covered >= 0.93 * 1000


def test_fractional_scores_that_agree_leave_a_drop_possible() -> None:
    found = paired_drop([0.2, 0.4, 1.0] * 20, [0.2, 0.4, 1.0] * 20, "x")
    assert found.pt == 0
    assert found.ci95[1] == pytest.approx(-found.ci95[0])
    assert 1 < found.ci95[1] < 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [([], [], "no scores"), ([1.0], [1.0, 0.0], "same samples"), ([1.0, math.nan], [1.0, 0.0], "sample 1")],
)
def test_scores_must_fit(old: list[float], new: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        paired_drop(old, new, "x")


def test_samples_needed_is_the_planning_formula() -> None:
    assert samples_needed(0.5, 0.02) == 4947
    assert samples_needed(0.5, 0.02, alpha=0.025) > samples_needed(0.5, 0.02)
    assert samples_needed(0.5, 0.02, power=0.95) > samples_needed(0.5, 0.02)
    assert samples_needed(1.0, 0.0) == math.ceil(1.6449**2 * 99)


@pytest.mark.parametrize("n", [300, 3000])
def test_samples_needed_without_disagreement_is_what_the_interval_takes(n: int) -> None:
    margin = paired_drop([1.0] * n, [1.0] * n, "x").ci95[1]
    assert samples_needed(margin, 0.0, alpha=0.025) == pytest.approx(n, abs=1)


def test_no_number_of_samples_shows_nothing() -> None:
    with pytest.raises(ValueError, match="at most nothing"):
        samples_needed(0.0, 0.1)


def test_scores_that_are_no_hits_are_no_counts() -> None:
    """Cosines of 1 everywhere are no proportion: what a share would leave possible is not theirs."""
    found = paired_drop([1.0] * 40, [1.0] * 40, "x", hits=False)
    assert (found.pt, found.lost, found.gained) == (0.0, None, None)
    assert found.ci95 == pytest.approx((0.0, 0.0))
    assert paired_drop([1.0] * 40, [1.0] * 40, "x").lost == 0


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_a_proportion_takes_samples(successes: int, n: int) -> None:
    with pytest.raises(DataError, match=f"{successes} of {n}"):
        proportion_interval(successes, n)


def test_a_mean_takes_two_samples() -> None:
    with pytest.raises(DataError, match="at least two samples"):
        mean_interval([1.0])


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_share_lies_in_its_interval_within_zero_and_one(counts: tuple[int, int]) -> None:
    low, high = proportion_interval(*counts)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1
    assert low < high


def test_students_quantile_falls_to_the_normal_without_a_jump() -> None:
    values = [student(degrees, 0.05) for degrees in (*range(1, 200), 100_000)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(normal(0.05), rel=1e-4)
