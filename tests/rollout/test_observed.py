"""Counts in windows: what was counted between two readings adds up again, also where a server begins anew."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as some

from mlopt.rollout.observed import Observed, restarted, since, together

EDGES = (0.01, 0.1)


@some.composite
def windows(draw: some.DrawFn) -> Observed:
    counts = draw(some.tuples(*[some.integers(0, 50)] * 3))
    errors, requests = draw(some.integers(0, 5)), sum(counts) + 5
    same, different, failed = draw(some.tuples(*[some.integers(0, 9)] * 3))
    return Observed(requests, errors, EDGES, counts, same=same, different=different, failed=failed)


@given(some.lists(windows(), min_size=1, max_size=6))
def test_windows_are_found_again_in_readings(each: list[Observed]) -> None:
    totals = [together(each[: number + 1]) for number in range(len(each))]
    found = [since(before, now) for before, now in zip([None, *totals], totals, strict=False)]
    assert found == each
    assert not any(restarted(before, now) for before, now in itertools.pairwise(totals))


@given(windows(), windows())
def test_after_a_restart_all_is_new(before: Observed, now: Observed) -> None:
    if restarted(before, now):
        assert since(before, now) == now
    assert since(None, now) == now


def test_other_buckets_are_a_restart() -> None:
    before, now = Observed(1, edges=(0.1,), counts=(1, 0)), Observed(9, edges=(0.2,), counts=(9, 0))
    assert restarted(before, now)
    assert together([before, now]) == Observed(10, edges=(0.2,), counts=(9, 0))


def test_what_is_below_an_edge() -> None:
    one = Observed(edges=EDGES, counts=(3, 4, 5))
    assert [one.below(0), one.below(1), one.timed] == [3, 7, 12]


def test_answers_that_were_compared() -> None:
    assert Observed(same=1, different=2, failed=3).compared == 6
