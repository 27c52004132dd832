"""A trial in words: only what differs from the recipe, and never the braces of a language."""

from __future__ import annotations

import pytest
from study_example import SPACE, example_study, raced

from mlopt.report.study import rows
from mlopt.results.study import StudyRecord

DEFAULTS = {one.name: one.default for one in SPACE}


def test_only_what_differs_from_the_recipe_is_said() -> None:
    params = {"passes.fuse": False, "passes.quantize": True, "passes.quantize.mode": "static", "session.threads": 1}
    assert rows.point(raced(1, params=params), DEFAULTS) == "fuse off; quantize mode static; session threads 1"
    assert rows.point(raced(1, params={"passes.fuse": True}), DEFAULTS) == "as the recipe says"


def test_a_value_of_many_parts_is_told_in_words() -> None:
    told = rows.point(raced(1, params={"session": {"threads": 2, "fast": True}, "x": [1, None]}), {})
    assert told == "session threads 2, fast yes; x 1, none"


def test_what_differs_in_many_ways_is_cut() -> None:
    told = rows.point(raced(1, params={f"p{number}": number for number in range(30)}), {})
    assert told.endswith("; 22 more")


def test_one_and_true_are_two_values() -> None:
    assert rows.point(raced(1, params={"x": 1}), {"x": True}) == "x 1"


def test_the_best_comes_first_and_the_failed_last() -> None:
    listed = rows.rows(example_study())
    order = list(dict.fromkeys(row.standing for row in listed))
    assert order == ["best", "on the front", "valid", "not valid", "stopped", "failed"]
    front = [row.one.latency_ms or 0.0 for row in listed if row.standing == "on the front"]
    assert front == sorted(front)
    assert [row.number for row in listed if row.is_recipe] == [0]


def test_a_trial_that_was_measured_and_not_judged_says_so() -> None:
    study = example_study(trials=(raced(0, valid=None, latency_ms=1.0),))
    assert [row.standing for row in rows.rows(study)] == ["not judged"]


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"accuracy": 0.91}, "Accuracy", "91.00 %"),
        ({"fidelity": 0.99}, "Cosine", "0.990000"),
        ({}, "Cosine", ""),
    ],
)
def test_quality_is_the_metric_or_the_cosine(changes: dict[str, float], name: str, value: str) -> None:
    study = example_study(trials=(raced(0, latency_ms=1.0, **changes),))
    assert rows.quality_name(study) == name
    assert rows.rows(study)[0].quality == value


def test_the_space_is_told_with_its_conditions() -> None:
    found = {name: rest for name, *rest in rows.space(example_study())}
    assert found["quantize mode"] == ["dynamic, static, weight_only", "dynamic", "quantize on"]
    assert found["session threads"] == ["1, 2", "2", ""]


def test_no_study_has_a_bracket_in_its_words() -> None:
    study: StudyRecord = example_study()
    for row in rows.rows(study):
        assert not set("{}[]") & set(row.point)


@pytest.mark.parametrize(("seconds", "told"), [(1.5, "1.50 s"), (119, "119 s"), (180, "3.00 min"), (9000, "2.50 h")])
def test_durations(seconds: float, told: str) -> None:
    assert rows.duration(seconds) == told
