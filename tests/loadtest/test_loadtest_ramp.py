"""The search for the highest rate, on servers that are nothing but a number."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from load_example import step

from mlopt.loadtest import ramp
from mlopt.results.section import Verdict
from mlopt.results.serving import RampRecord, RampStep


def search(judge: Callable[[float, bool], Verdict], first: float = 100.0, most: float = 6400.0) -> RampRecord:
    steps: list[RampStep] = []
    while isinstance(found := ramp.next_step(steps, first, most), ramp.NextStep):
        steps.append(step(found.rate, judge(found.rate, found.confirms), confirms=found.confirms))
        assert len(steps) <= 40
    return ramp.record(steps, found)


@given(st.floats(5, 5000))
def test_the_highest_rate_is_found_within_a_tenth_and_confirmed(capacity: float) -> None:
    found = search(lambda rate, _: "pass" if rate <= capacity else "fail")
    assert found.kept is not None
    assert found.broken is not None
    assert found.kept <= capacity < found.broken <= 1.11 * found.kept
    assert found.ended == "found, and confirmed"
    assert found.steps[-1].confirms
    assert len(found.steps) <= 25


def test_a_rate_that_does_not_hold_for_longer_is_not_kept() -> None:
    found = search(lambda rate, confirms: "pass" if rate <= (100 if confirms else 140) else "fail")
    assert found.kept is not None
    assert found.kept <= 100
    assert found.broken is not None
    assert found.broken > 100


def test_a_rate_that_stays_undecided_is_not_kept_and_not_broken() -> None:
    found = search(lambda rate, _: "pass" if rate <= 300 else "inconclusive" if rate < 500 else "fail")
    assert found.kept is not None
    assert 270 < found.kept <= 300
    assert found.broken is None
    assert any(step.verdict == "inconclusive" for step in found.steps)


def test_the_search_ends_at_the_highest_rate_that_may_be_tried() -> None:
    found = search(lambda *_: "pass", most=250.0)
    assert (found.kept, found.broken) == (250.0, None)
    assert "was kept" in found.ended


def test_a_server_that_keeps_nothing_is_given_up() -> None:
    found = search(lambda *_: "fail")
    assert found.kept is None
    assert found.broken is not None
    assert found.broken < 4
    assert "were not kept at" in found.ended
    assert len(found.steps) < 10


def test_what_a_rate_showed_last_counts() -> None:
    steps = [step(100), step(200, "fail"), step(100, "fail", confirms=True), step(50)]
    assert ramp.bounds(steps) == (50, 100)
    assert ramp.record(steps, "time").kept is None  # tried, but not confirmed


def test_a_load_that_was_not_put_on_at_first_ends_the_search() -> None:
    late = step(100, "inconclusive", doubt="the generator was late")
    assert "not put on as it should be" in str(ramp.next_step([late], 100, 6400))
    found = ramp.next_step([step(50), late], 100, 6400)
    assert isinstance(found, ramp.NextStep)
    assert 50 < found.rate < 100
