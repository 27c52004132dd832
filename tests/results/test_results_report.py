"""The schema of the report: closed, frozen, of finite numbers, and still that of earlier versions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gate_evidence import FIDELITY, LATENCY, STEP, report
from pydantic import ValidationError

from mlopt.results.figures import SweepPoint
from mlopt.results.report import Report


def read(document: dict[str, Any]) -> Report:
    return Report.model_validate_json(json.dumps(document), strict=True)


def document() -> dict[str, Any]:
    return report(steps=(STEP,)).model_dump(mode="json", by_alias=True)


def test_a_key_that_nobody_knows_is_refused_at_any_depth() -> None:
    for change in ({"extra": 1}, {"environment": document()["environment"] | {"extra": 1}}):
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            read(document() | change)


def test_no_part_can_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        report().final.latency_ms.p50 = 1.0  # type: ignore[misc]


def test_what_a_run_notes_is_its_own_and_what_is_read_is_finite() -> None:
    odd = report(steps=(STEP.model_copy(update={"notes": {"levels": [1.0, {"worst": float("inf")}]}}),))
    assert Report(**dict(odd)).steps[0].notes["levels"][1]["worst"] == float("inf")
    steps = [document()["steps"][0] | {"notes": {"levels": [1.0, {"worst": float("inf")}]}}]
    with pytest.raises(ValidationError) as error:
        read(document() | {"steps": steps})
    (found,) = error.value.errors()
    assert (found["loc"], found["type"]) == (("steps", 0, "notes", "levels", 1, "worst"), "finite_number")


def test_more_than_a_run_can_give_is_refused() -> None:
    point = SweepPoint(
        name="final", batch_size=1, threads=1, concurrency=1, latency_ms=LATENCY, throughput_per_s=1.0
    ).model_dump(mode="json")
    assert len(read(document() | {"sweep": [point] * 2000}).sweep) == 2000
    with pytest.raises(ValidationError, match="at most 2000"):
        read(document() | {"sweep": [point] * 2001})


def test_a_report_without_what_later_versions_added_is_read() -> None:
    old = document()
    for key in ("notes", "sampling", "sweep", "operators", "differing", "made_by"):
        old.pop(key, None)
    for key in ("batch_size", "cold_start"):
        old["final"].pop(key)
    for key in ("shift", "worst_part", "part", "matched", "outputs"):
        old["final"]["fidelity"].pop(key)
    found = read(old)
    assert (found.sampling, found.made_by, found.final.batch_size) == (None, None, None)
    assert found.final.fidelity is not None
    assert found.final.fidelity.shift is None


def test_the_relative_error_is_the_ratio_in_decibels() -> None:
    assert FIDELITY.model_copy(update={"sqnr_db": 20.0}).relative_error == pytest.approx(0.1)
    assert FIDELITY.model_copy(update={"sqnr_db": None}).relative_error == 0.0
