"""After a run in two runtimes, a look ahead finds all of its steps done, each in its own runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from openvino_models import needed
from quantization_models import cnn

from mlopt.cli.app import run
from mlopt.core.errors import ExitCode

pytestmark = [needed, pytest.mark.process]
RECIPE = """\
apiVersion: mlopt/v1
name: cnn
model: {source: ./m.onnx}
data: {evaluation: {source: ./x.npz}, calibration: {source: ./c.npz}}
target: {runtime: [onnxruntime, openvino], threads: 1}
passes: [simplify, {quantize: {seconds: 2, optional: true}}, {fuse: {optional: true}}]
gates: [{metric: fidelity.cosine, min: 0.9}, {metric: speedup.median, min: 0.001}]
measure: {seconds: 0.01, rounds: 7, max_time: 1}
"""


def test_all_that_a_run_made_is_found_by_a_look_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cnn(Path("m.onnx"))
    rng = np.random.default_rng(0)
    for name in ("x", "c"):
        np.savez(f"{name}.npz", image=rng.normal(size=(32, 3, 8, 8)).astype(np.float32))
    Path("recipe.yaml").write_text(RECIPE)
    assert run(["optimize", "recipe.yaml", "-o", "made", "--no-sign"]) == ExitCode.OK
    capsys.readouterr()
    assert run(["plan", "recipe.yaml", "--json"]) == ExitCode.OK
    rows = json.loads(capsys.readouterr().out)
    names = [each["name"] for each in rows]
    steps, (choice, *each_time) = rows[: names.index("choose")], rows[names.index("choose") :]
    assert [each["name"] for each in each_time] == ["trials", "measure", "pack"]
    assert [each["name"] for each in steps if not each["skipped"] and not each["cached"]] == []
    told = [(each["name"], each["runtime"], each["skipped"]) for each in steps[3:]]
    assert told == [
        ("simplify", None, False), ("quantize", "onnxruntime", False), ("fuse", "onnxruntime", False),
        ("quantize", "openvino", False), ("fuse", "openvino", True),
    ]  # fmt: skip
    tried = json.loads(Path("made/report.json").read_text())["tried"]
    assert len(tried) <= int(choice["detail"].partition("at most ")[2].split()[0])
    assert choice["name"] == "choose"
