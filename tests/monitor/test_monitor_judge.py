"""The verdict: pass, fail, or too few rows to say; each finding tells by how much."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sketched import document, of, rows

from mlopt.monitor.judge import judge
from mlopt.sketches import plan_like


def test_unchanged_data_pass() -> None:
    reference = document(5000)
    found = judge(reference, document(5000, 1, like=reference))
    assert found.verdict == "pass"
    assert {one.verdict for one in found.findings} == {"pass"}
    assert (found.reference_rows, found.live_rows) == (5000, 5000)


@pytest.mark.parametrize("moved", [0.25, -0.4])
def test_a_feature_that_moved_fails_and_is_named(moved: float) -> None:
    reference = document(5000)
    found = judge(reference, document(5000, 1, moved, like=reference))
    first = next(one for one in found.findings if one.side == "input")
    assert found.verdict == found.findings[0].verdict == "fail"
    assert (first.tensor, first.part, first.verdict) == ("x", "1", "fail")
    assert first.limit is not None
    assert first.value > first.limit
    assert "quantiles at 5, 50, 95 % were" in first.message


def test_so_few_rows_that_nothing_would_show_are_inconclusive() -> None:
    reference = document(5000)
    found = judge(reference, document(40, 1, like=reference))
    assert found.verdict == "inconclusive"
    assert any("so few that a shift of 0.2 would not show" in one.message for one in found.findings)


def test_few_rows_that_are_far_off_fail_all_the_same() -> None:
    reference = document(5000)
    assert judge(reference, document(40, 1, 5.0, like=reference)).verdict == "fail"


def test_no_live_rows_are_inconclusive() -> None:
    found = judge(document(100), of({}, {}))
    assert found.verdict == "inconclusive"
    assert [one.what for one in found.findings] == ["missing", "missing"]


def test_what_was_sketched_otherwise_is_not_compared() -> None:
    reference = document(1000)
    other = reference.tensors[0].model_copy(update={"parts": reference.tensors[0].parts[:2]})
    live = reference.model_copy(update={"tensors": (other, reference.tensors[1])})
    found = judge(reference, live)
    assert found.verdict == "inconclusive"
    assert "another form" in next(one for one in found.findings if one.what == "missing").message


def test_nan_that_was_not_there_before_fails_with_its_chance() -> None:
    reference = document(1000)
    inputs, outputs = rows(1000, 1)
    inputs["x"][:40, 0] = np.nan
    found = judge(reference, of(inputs, outputs, plan=plan_like(reference)))
    first = next(one for one in found.findings if one.what == "NaN")
    assert (found.verdict, first.verdict, first.value) == ("fail", "fail", 0.04)
    assert first.chance is not None
    assert first.chance < 1e-9
    assert "40 of 1,000 rows have NaN, where 0 of 1,000 had it before" in first.message


def test_other_classes_than_before_fail() -> None:
    reference = document(3000)
    inputs, outputs = rows(3000, 1)
    outputs["y"] = np.roll(outputs["y"], 1, axis=1) + np.array([0, 0, 1], np.float32)
    found = judge(reference, of(inputs, outputs, plan=plan_like(reference)))
    assert any((one.part, one.what, one.verdict) == ("class", "psi", "fail") for one in found.findings)


def test_the_document_is_json_and_says_what_was_left_out() -> None:
    reference = document(500).model_copy(update={"left_out": ("input 'z': values of complex64 are not sketched",)})
    live = document(500, 1).model_copy(update={"offered": 5000})
    found = judge(reference, live)
    assert json.loads(json.dumps(found.document()))["schema"] == "mlopt.monitor/v1"
    assert found.notes == (
        "500 of 5,000 live rows were sketched, 10.0%", "not sketched: input 'z': values of complex64 are not sketched",
    )  # fmt: skip
