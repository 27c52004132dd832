"""Counts of odd rows against chance: exact probabilities, by the book and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sketched import document, of, rows

from mlopt.monitor.quality import beyond_all, counts, more_than_before, unlikely
from mlopt.sketches import plan_like


def by_hand(before: int, before_rows: int, now: int, now_rows: int) -> float:
    hits, total = before + now, math.comb(before_rows + now_rows, before + now)
    return sum(math.comb(now_rows, k) * math.comb(before_rows, hits - k) for k in range(now, hits + 1)) / total


@given(st.integers(0, 12), st.integers(12, 40), st.integers(0, 12), st.integers(12, 40))
def test_more_than_before_is_fishers_exact_test(before: int, before_rows: int, now: int, now_rows: int) -> None:
    found = more_than_before(before, before_rows, now, now_rows)
    if now * (before_rows + now_rows) > (before + now) * now_rows:
        assert found == pytest.approx(by_hand(before, before_rows, now, now_rows), rel=1e-6)
    else:
        assert found == 1.0


@pytest.mark.parametrize(
    ("count", "rows_", "reference"), [(0, 10, 10), (1, 10, 10), (3, 10, 10), (2, 100, 5), (5, 5, 5)]
)
def test_beyond_all_is_a_matter_of_order(count: int, rows_: int, reference: int) -> None:
    rng = np.random.default_rng(0)
    order = rng.random((20_000, rows_ + reference))
    beyond = (order[:, :rows_] > order[:, rows_:].max(axis=1, keepdims=True)).sum(axis=1)
    assert beyond_all(count, rows_, reference) == pytest.approx((beyond >= count).mean(), abs=0.015)


def test_numbers_of_rows_may_be_large() -> None:
    assert more_than_before(0, 5000, 17, 5000) == pytest.approx(0.5**17, rel=0.05)
    assert 0 <= more_than_before(10_000, 10**7, 20_000, 10**7) < 1e-12
    assert beyond_all(100, 10**6, 10**3) == pytest.approx(0.999**100, rel=0.01)


def test_every_count_of_both_is_looked_at() -> None:
    reference = document(400)
    inputs, outputs = rows(400, 1)
    inputs["x"][:60, 2], inputs["x"][60:63, 3] = np.nan, 99.0
    found = counts(reference, of(inputs, outputs, plan=plan_like(reference)))
    wrong = [(one.part, one.what) for one, bad in zip(found, unlikely(found), strict=True) if bad]
    assert wrong == [("2", "NaN")]
    above = next(one for one in found if (one.part, one.what) == ("3", "above"))
    assert above.live >= 3
    assert 1e-4 < above.chance < 0.3
    assert {one.what for one in found} == {"empty", "NaN", "inf", "-inf", "below", "above"}


def test_without_the_references_range_nothing_is_said_of_it() -> None:
    reference = document(50)
    live = document(50, 1, like=reference)
    assert {"below", "above"}.isdisjoint({one.what for one in counts(reference, live, ranges=False)})
    assert {"below", "above"}.isdisjoint({one.what for one in counts(reference, document(50, 1))})


def test_all_together_have_one_rate() -> None:
    reference = document(400)
    found = counts(reference, document(400, 1, like=reference))
    assert not any(unlikely(found))
    assert all(0 <= one.chance <= 1 for one in found)
