"""The stored reports that gates name are read, or all that is wrong with them is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from gate_evidence import report

from mlopt.core.errors import GateError
from mlopt.gate.baselines import load_baselines
from mlopt.gate.limits import Gate
from mlopt.report import write


def test_stored_reports_are_read_beside_the_gates(tmp_path: Path):
    stored = report(name="main")
    (tmp_path / "main").mkdir()
    write(stored, tmp_path / "main" / "report.json")
    write(stored, tmp_path / "a.json")
    names = ["a.json", "./main", str(tmp_path / "a.json"), "onnx_fp32", "baseline", "models/a.onnx"]
    gates = [Gate(metric="speedup.median", min=1, vs=vs) for vs in names]
    found = load_baselines([*gates, Gate(metric="size_mb", max=1)], tmp_path)
    assert list(found) == names[:3]
    assert all(each == stored for each in found.values())


def test_all_stored_reports_that_cannot_be_read_are_said_at_once(tmp_path: Path):
    (tmp_path / "broken.json").write_text("{}")
    gates = [Gate(metric="size.ratio", max=1, vs=vs) for vs in ("./none.json", "broken.json")]
    with pytest.raises(GateError) as error:
        load_baselines(gates, tmp_path)
    assert "the stored report of `vs: ./none.json`: there is no report here" in str(error.value)
    assert "the stored report of `vs: broken.json`: this is not a report of mlopt" in str(error.value)
