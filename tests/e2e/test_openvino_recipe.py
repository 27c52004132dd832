"""A recipe whose target is OpenVINO, from the model to what is loaded where there is no other runtime."""

from __future__ import annotations

import json
import subprocess
import sys
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
target: {runtime: openvino, threads: 1}
passes: [simplify, {quantize: {mode: static}}]
gates: [{metric: fidelity.cosine, min: 0.99}, {metric: speedup.median, min: 0.001}]
measure: {seconds: 0.01, rounds: 7, max_time: 1}
"""
ALONE = """\
import sys
sys.modules["onnxruntime"] = None
import mlopt, numpy
with mlopt.load("made", key="key.pub") as session:
    print(session.run({"image": numpy.ones((3, 3, 8, 8), "float32")})["logits"].shape)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the recipe was run, and its artifact signed."""
    folder = tmp_path_factory.mktemp("openvino")
    cnn(folder / "m.onnx")
    rng = np.random.default_rng(0)
    for name in ("x", "c"):
        np.savez(folder / f"{name}.npz", image=rng.normal(size=(32, 3, 8, 8)).astype(np.float32))
    (folder / "recipe.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLOPT_CACHE", str(folder / "cache"))
        assert run(["keygen", "-o", "key"]) == ExitCode.OK
        assert run(["optimize", "recipe.yaml", "-o", "made", "--key", "key"]) == ExitCode.OK
    return folder


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def test_it_was_measured_in_openvino_and_says_how(here: Path) -> None:
    manifest, report = (json.loads((here / "made" / f"{name}.json").read_text()) for name in ("mlopt", "report"))
    assert manifest["runtime"] == "openvino"
    assert manifest["options"] == {
        "threads": 1, "device": "cpu", "precision": "exact", "hint": "latency", "streams": 1, "pinning": False,
    }  # fmt: skip
    assert set(manifest["runtime_packages"]) == {"openvino"}
    assert (report["baseline"]["runtime"], report["final"]["runtime"]) == ("onnxruntime", "openvino")
    assert "openvino" in report["environment"]["packages"]
    assert "Conv" in {each["op_type"] for each in report["operators"]["final"]}


def test_it_is_verified_and_loads_where_there_is_no_onnxruntime(here: Path) -> None:
    assert run(["verify", "made", "--key", "key.pub", "--require-gate", "pass"]) == ExitCode.OK
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=here, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(3, 5)", done.stderr


def test_a_manifest_with_another_key_is_not_opened(here: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(here / "made", tmp_path / "copy")
    manifest = json.loads((tmp_path / "copy" / "mlopt.json").read_text())
    manifest["options"]["cache_dir"] = str(tmp_path)
    (tmp_path / "copy" / "mlopt.json").write_text(json.dumps(manifest))
    assert run(["bench", str(tmp_path / "copy"), "--time", "0.1"]) == ExitCode.INTEGRITY


def test_bench_and_compare_read_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "m.onnx", "made", "--runtime", "onnxruntime,openvino", "--time", "0.1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    shown = (report["baseline"], report["final"], *report["references"].values())
    assert {(each["name"], each["runtime"]) for each in shown} == {
        (f"{name} ({runtime})", runtime) for name in ("m.onnx", "made") for runtime in ("onnxruntime", "openvino")
    }
    assert run(["compare", "m.onnx", "made", "--json"]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert any("it is deployed in openvino; these are its tensors in onnxruntime" in note for note in found["notes"])
    assert found["outputs"]["a"] == "onnxruntime"
    assert found["outputs"]["b"].startswith("openvino")  # with what this machine's search chose
    assert [each["output"] for each in found["outputs"]["differences"]] == ["logits"]
    assert run(["compare", "m.onnx", "m.onnx", "--runtime", "onnxruntime,openvino"]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert "outputs, the reference in onnxruntime and the other in openvino:" in printed
    decibels = float(next(line for line in printed.splitlines() if line.startswith("logits")).split()[1])
    assert decibels > 90  # equal within the rounding of float32


def test_what_openvino_would_not_read_is_told_before_any_work(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "fused.yaml").write_text(RECIPE.replace("{mode: static}}", "{mode: static}}, fuse"))
    assert run(["optimize", "fused.yaml"]) == ExitCode.USAGE
    told = " ".join(capsys.readouterr().err.split())
    assert "'fuse' writes operators that only onnxruntime is sure to read, and openvino runs the result" in told
    assert "fuse: {level: basic}, remove 'fuse', or target: {runtime: onnxruntime}" in told
    assert "pass simplify" not in told
