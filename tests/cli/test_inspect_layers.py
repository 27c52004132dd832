"""``mlopt inspect --layers``: the table of layers, and what the report of an artifact says that each bears."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inspected_models import partly_quantized
from packed_artifact import pack

from mlopt.cli.app import run

BORNE = {
    "measure": "accuracy", "samples": 512, "before": 0.98,
    "points": [{"layer": "stem.conv", "along": [], "ratio": 0.5, "score": 0.71, "macs": 0.93}],
}  # fmt: skip


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(["inspect", *words]) == 0
    return capsys.readouterr().out


def test_the_layers_are_listed_where_they_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(partly_quantized(tmp_path / "m.onnx"))
    out = " ".join(printed(capsys, path, "--layers").split())
    assert "MatMul 512x4 2,048 90.5 % 2,048 12.9 %" in out
    assert "512x4" not in printed(capsys, path)
    found = json.loads(printed(capsys, path, "--layers", "--json", "--shape", "x=2,3,10,10"))
    assert [layer["macs"] for layer in found["layers"]] == [27648, 4096]
    assert found["sensitivity"] == {}
    assert "layers" not in json.loads(printed(capsys, path, "--json"))


def test_what_each_layer_bears_is_told_of_an_artifact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = pack(tmp_path, None).path
    assert "What each layer bears" not in printed(capsys, str(made), "--layers")
    report = json.loads((made / "report.json").read_text())
    report["steps"] = [{
        "pass": "prune", "version": 1, "config": {}, "status": "applied", "reason": None, "seconds": None,
        "peak_rss_bytes": None, "size_bytes": None, "parity": None, "latency_ms": None, "accuracy": None,
        "notes": {"sensitivity": BORNE},
    }]  # fmt: skip
    (made / "report.json").write_text(json.dumps(report))
    out = " ".join(printed(capsys, str(made), "--layers").split())
    assert "What each layer bears, by prune (1): accuracy on 512 samples of data.train, 98.0 % unpruned" in out
    assert "stem.conv 71.0 % -7.0 %" in out
    found = json.loads(printed(capsys, str(made), "--layers", "--json"))
    assert found["sensitivity"]["prune (1)"]["points"][0]["score"] == 0.71
    assert "stem.conv" not in printed(capsys, str(made))


def test_a_report_that_is_none_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = pack(tmp_path, None).path
    (made / "report.json").write_text("{}")
    assert run(["inspect", str(made), "--layers"]) == 2
    assert "this is not a report of mlopt" in capsys.readouterr().err
