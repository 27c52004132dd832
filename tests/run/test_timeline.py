"""Phases follow each other without a gap: what they took adds up to the run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.run.timeline import Timeline

EVENTS = st.lists(st.tuples(st.sampled_from(["data", "pass a", "measure"]), st.floats(0.0, 100.0)), max_size=30)


@given(EVENTS)
def test_phases_add_up_to_the_run_and_none_is_negative(events: list[tuple[str, float]]) -> None:
    now = 5.0
    told: list[str] = []
    timeline = Timeline(lambda stage, _detail, _share: told.append(stage), clock=lambda: now)
    for stage, took in events:
        timeline.tell(stage, "", None)
        timeline.within("more")
        now += took
    spent = timeline.seconds
    assert sum(spent.values()) == pytest.approx(now - 5.0, abs=0.01 * max(1, len(spent)))
    assert list(spent) == list(dict.fromkeys(stage for stage, _ in events))
    assert min(spent.values(), default=0.0) >= 0
    assert told == [stage for stage, _ in events for _ in range(2)]


def test_what_is_told_within_no_phase_is_lost() -> None:
    told: list[str] = []
    Timeline(lambda stage, _detail, _share: told.append(stage)).within("sample 1 of 2", 0.5)
    assert told == []
