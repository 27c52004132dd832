"""Bencher's metrics, in Bencher's own units."""

from __future__ import annotations

from ci_reports import MET, NASTY, judged, strict_json, unmeasured

from mlopt.report.ci import bencher

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


def test_measures_are_in_benchers_units():
    document = strict_json(bencher.render(judged(MET)), BMF)
    assert list(document) == ["digits: onnx_fp32", "digits: final"]
    final = document["digits: final"]
    assert final["latency"] == {"value": 10e6, "lower_value": 9.8e6, "upper_value": 10.2e6}
    assert final["latency-p95"]["value"] == 12e6
    assert final["file-size"] == {"value": 4_300_000}
    assert final["speedup"] == {"value": 1.36, "lower_value": 1.31, "upper_value": 1.42}
    assert "speedup" not in document["digits: onnx_fp32"]


def test_measures_without_a_figure_are_left_out():
    final = strict_json(bencher.render(unmeasured()), BMF)["digits: final"]
    assert not {"file-size", "accuracy", "latency-p999"} & set(final)


def test_a_long_name_is_cut():
    strict_json(bencher.render(judged(MET, name=NASTY * 100)), BMF)
