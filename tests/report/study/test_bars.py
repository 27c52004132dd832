"""The bars: as long as their figures say, and honest about what is not known."""

from __future__ import annotations

import pytest
from study_example import example_study

from mlopt.report.study import bars, rows
from mlopt.results.study import Worth


def test_the_longest_bar_is_that_of_what_matters_most() -> None:
    found = bars.importance(example_study())
    assert found[0].name == "runtime"
    assert found[0].share == 1.0
    assert [one.share for one in found] == sorted((one.share or 0.0 for one in found), reverse=True)
    assert found[-1].text == "none"


def test_what_is_missing_from_the_bars_is_said() -> None:
    study = example_study(importance={"runtime": 0.5})
    caption = bars.importance_caption(study)
    assert "the other 50 % is interplay and noise." in caption
    assert "Not varied enough to tell: simplify, quantize, quantize mode" in caption
    assert "and 2 more." in caption
    assert bars.importance(example_study(importance={})) == []


def test_shares_of_a_stranger_stay_within_the_track() -> None:
    found = bars.importance(example_study(importance={"a": 1e300, "b": -5.0, "c": 0.0}))
    assert [one.share for one in found] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(("ratio", "role"), [(1.5, "good"), (1.01, ""), (0.8, "bad"), (0.0, "bad")])
def test_a_step_is_worth_something_only_beyond_the_noise(ratio: float, role: str) -> None:
    (found,) = bars.worth(example_study(worth=(Worth(step="fuse", without=3, speedup=ratio),)))
    assert (found.role, found.detail) == (role, "against trial 3")


def test_a_step_without_a_trial_to_compare_with_is_not_known() -> None:
    known, unknown = bars.worth(
        example_study(worth=(Worth(step="a", without=None, speedup=None), Worth(step="b", without=1, speedup=1.2)))
    )
    assert (known.name, unknown.name, unknown.text, unknown.share) == ("b", "a", "not known", None)


def test_causes_are_counted() -> None:
    failed = [row for row in rows.rows(example_study()) if row.standing == "failed"]
    ((count, cause),) = bars.causes(failed)
    assert count == "3 trials"
    assert cause.startswith("OpenVINO does not know operators")
