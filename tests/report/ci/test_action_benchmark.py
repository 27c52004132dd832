"""The list of github-action-benchmark: every entry is better when smaller."""

from __future__ import annotations

from ci_reports import MET, judged, strict_json, unmeasured
from gate_evidence import ACCURACY, candidate

from mlopt.report.ci import action_benchmark

NUMBER = {"type": "number"}


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


def test_every_entry_is_better_when_smaller():
    entries = strict_json(action_benchmark.render(judged(MET)), ENTRIES)
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
    names = [one["name"] for one in strict_json(action_benchmark.render(unmeasured()), ENTRIES)]
    assert not {"digits: size", "digits: accuracy error", "digits: latency p99.9"} & set(names)
