"""What draws charts over commits: github-action-benchmark's list, Bencher's metrics, and the badge."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from ci_reports import BROKEN, MET, NASTY, UNDECIDED, judged
from gate_evidence import ACCURACY, SPEEDUP, candidate

from mlopt.report.ci import action_benchmark, badge, bencher
from mlopt.results.report import GateVerdict, Report

NUMBER = {"type": "number"}
BMF = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"minLength": 1, "maxLength": 1024},
    "additionalProperties": {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": "^[a-z0-9-]{1,64}$"},
        "additionalProperties": {
            "type": "object",
            "properties": {"value": NUMBER, "lower_value": NUMBER, "upper_value": NUMBER},
            "required": ["value"],
            "additionalProperties": False,
        },
    },
}
ENTRIES = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"}, "unit": {"type": "string"}, "value": NUMBER,
            "range": {"type": "string", "pattern": r"^± \d.+"}, "extra": {"type": "string"},
        },
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
    },
}  # fmt: skip


def load(text: str, schema: dict[str, Any]) -> Any:
    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    document = json.loads(text, parse_constant=refuse)
    jsonschema.validate(document, schema)
    return document


def unmeasured() -> Report:
    """No accuracy, and figures that no float holds."""
    final = candidate("final", accuracy=None).model_copy(update={"size_bytes": 10**400})
    return judged(MET).model_copy(update={"final": final, "accuracy_drop": None})


# github-action-benchmark


def test_every_entry_is_better_when_smaller():
    entries = load(action_benchmark.render(judged(MET)), ENTRIES)
    assert [one["name"].removeprefix("digits: ") for one in entries] == [
        "latency p50", "latency p90", "latency p95", "latency p99", "size", "peak memory", "accuracy error",
    ]  # fmt: skip
    assert entries[2] == {
        "name": "digits: latency p95", "unit": "ms", "value": 12.0, "range": "± 0.500",
        "extra": "95 % interval 11.6 to 12.5 ms, n = 1000",
    }  # fmt: skip
    error = entries[-1]
    assert (error["unit"], error["value"], error["extra"]) == ("%", 2.0, "95 % interval 1.3 to 3.1 %, n = 1000")


def test_a_metric_of_unknown_direction_is_no_entry():
    other = ACCURACY.model_copy(update={"metric": "./metric.py:loss"})
    report = judged(MET).model_copy(update={"final": candidate("final", accuracy=other)})
    assert "loss" not in action_benchmark.render(report)


def test_entries_without_a_figure_are_left_out():
    names = [one["name"] for one in load(action_benchmark.render(unmeasured()), ENTRIES)]
    assert not {"digits: size", "digits: accuracy error", "digits: latency p99.9"} & set(names)


# Bencher


def test_measures_are_in_benchers_units():
    document = load(bencher.render(judged(MET)), BMF)
    assert list(document) == ["digits: onnx_fp32", "digits: final"]
    final = document["digits: final"]
    assert final["latency"] == {"value": 10e6, "lower_value": 9.8e6, "upper_value": 10.2e6}
    assert final["latency-p95"]["value"] == 12e6
    assert final["file-size"] == {"value": 4_300_000}
    assert final["speedup"] == {"value": 1.36, "lower_value": 1.31, "upper_value": 1.42}
    assert "speedup" not in document["digits: onnx_fp32"]


def test_measures_without_a_figure_are_left_out():
    final = load(bencher.render(unmeasured()), BMF)["digits: final"]
    assert not {"file-size", "accuracy", "latency-p999"} & set(final)


def test_a_long_name_is_cut():
    load(bencher.render(judged(MET, name=NASTY * 100)), BMF)


# The badge


@pytest.mark.parametrize(
    ("gate", "message", "color"),
    [(BROKEN, "failing", "red"), (UNDECIDED, "inconclusive", "yellow"), (MET, "1.36x as fast", "brightgreen")],
)
def test_the_badge_tells_the_verdict_or_what_was_won(gate: GateVerdict, message: str, color: str):
    document = json.loads(badge.render(judged(gate)))
    assert document == {"schemaVersion": 1, "label": "digits", "message": message, "color": color} | (
        {"isError": True} if gate is BROKEN else {}
    )


def test_the_badge_claims_no_speed_within_the_noise():
    noisy = SPEEDUP.model_copy(update={"median": 1.05, "ci95": (1.01, 1.09)})
    assert json.loads(badge.render(judged(MET, speedup=noisy)))["message"] == "passing"


def test_the_badge_of_a_recipe_for_size_tells_the_size():
    small = judged(MET, objective="size").model_copy(update={"final": candidate("final", size_bytes=1_075_000)})
    assert json.loads(badge.render(small))["message"] == "25 % of the size"


def test_a_badge_has_a_label_of_reasonable_length():
    assert 0 < len(json.loads(badge.render(judged(MET, name=NASTY * 10)))["label"]) <= 60
