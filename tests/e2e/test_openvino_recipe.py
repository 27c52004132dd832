"""A recipe whose target is OpenVINO, from the model to what is loaded where there is no other runtime."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from openvino_models import needed
from quantization_models import cnn

import mlopt
from mlopt.cli.app import run
from mlopt.core.errors import ExitCode
from mlopt.core.packages import install_command
from mlopt.measure.parity import fidelity
from mlopt.runtimes.openvino_options import OpenVinoOptions

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
_SPEC = importlib.util.find_spec("openvino")
PLACE = Path(_SPEC.origin).parents[1] if _SPEC is not None and _SPEC.origin else None
ALONE = """\
import sys
sys.modules["onnxruntime"] = None
import mlopt, numpy
with mlopt.load(sys.argv[1], key="key.pub") as session:
    answers = [session.run({"image": image[None]})["logits"] for image in numpy.load("x.npz")["image"]]
numpy.savez("answers.npz", logits=numpy.concatenate(answers))
"""
WITHOUT = """\
import sys
from pathlib import Path
sys.path[:] = [each for each in sys.path if not (Path(each) / "openvino").is_dir()]
from mlopt.cli.app import run
import mlopt
try:
    mlopt.load("made", key="key.pub")
except mlopt.MloptError as error:
    print(error)
for verb in sys.argv[1:]:
    print(verb, run(verb.split()))
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
    assert OpenVinoOptions.model_validate(manifest["options"]).model_dump() == manifest["options"]
    assert (manifest["options"]["threads"], manifest["options"]["shapes"]) == (1, "static")
    assert {**report["final"]["options"], **manifest["options"]} == report["final"]["options"]
    assert set(manifest["runtime_packages"]) == {"openvino"}
    assert (report["baseline"]["runtime"], report["final"]["runtime"]) == ("onnxruntime", "openvino")
    assert "openvino" in report["environment"]["packages"]
    assert "Conv" in {each["op_type"] for each in report["operators"]["final"]}


@pytest.mark.parametrize("packed", [False, True])
def test_it_answers_as_measured_where_there_is_no_onnxruntime(here: Path, tmp_path: Path, packed: bool) -> None:
    """Each evaluation sample, from what is verified, and from what was one file in between."""
    artifact = here / "made"
    assert run(["verify", str(artifact), "--key", "key.pub", "--require-gate", "pass"]) == ExitCode.OK
    if packed:
        artifact = tmp_path / "unpacked"
        assert run(["pack", "made", "-o", str(tmp_path / "made.mlopt"), "--key", "key.pub"]) == ExitCode.OK
        assert run(["unpack", str(tmp_path / "made.mlopt"), "-o", str(artifact), "--key", "key.pub"]) == ExitCode.OK
    command = [sys.executable, "-c", ALONE, str(artifact)]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (expected,) = onnxruntime.InferenceSession("m.onnx").run(None, {"image": np.load("x.npz")["image"]})
    found = fidelity({"logits": expected}, {"logits": np.load("answers.npz")["logits"]})
    said = json.loads((artifact / "report.json").read_text())["final"]["fidelity"]
    assert found.n == said["n"]
    assert (found.cosine, found.max_abs) == pytest.approx((said["cosine"], said["max_abs"]), rel=1e-3)


def _another_key(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["options"]["cache_dir"] = str(folder)


def _another_precision(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["options"]["precision"] = "bf16" if manifest["options"]["precision"] == "exact" else "exact"


def _another_runtime(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["runtime"] = "onnxruntime"


def _another_weight(folder: Path, manifest: dict[str, Any]) -> None:
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)


@pytest.mark.parametrize("change", [_another_key, _another_precision, _another_runtime, _another_weight])
def test_what_was_changed_since_it_was_signed_is_not_opened(here: Path, tmp_path: Path, change: Any) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(here / "made", copy)
    manifest = json.loads((copy / "mlopt.json").read_text())
    change(copy, manifest)
    (copy / "mlopt.json").write_text(json.dumps(manifest))
    assert run(["verify", str(copy), "--key", "key.pub"]) == ExitCode.INTEGRITY
    with pytest.raises(mlopt.MloptError) as caught:
        mlopt.load(copy, key="key.pub")
    assert caught.value.exit_code == ExitCode.INTEGRITY


def test_an_unknown_option_is_not_passed_on_by_who_does_not_verify(here: Path, tmp_path: Path) -> None:
    shutil.copytree(here / "made", tmp_path / "copy")
    manifest = json.loads((tmp_path / "copy" / "mlopt.json").read_text())
    _another_key(tmp_path, manifest)
    (tmp_path / "copy" / "mlopt.json").write_text(json.dumps(manifest))
    assert run(["bench", str(tmp_path / "copy"), "--time", "0.1"]) == ExitCode.INTEGRITY


@pytest.mark.skipif(Path(onnxruntime.__file__).parents[1] == PLACE, reason="openvino lies with all that is needed")
def test_where_there_is_no_openvino_it_is_told_what_brings_it(here: Path) -> None:
    """What only reads the files goes on; what runs the model says what is missing."""
    wanted = {"verify made --key key.pub": 0, "gate made": 0, "inspect made": 0, "bench made --time 0.1": 2}
    command = [sys.executable, "-c", WITHOUT, *wanted]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("OpenVINO is not installed"), done.stderr
    for said in (done.stdout, done.stderr):
        assert f"fix       {install_command('openvino')}" in said
    for verb, code in wanted.items():
        assert f"\n{verb} {code}\n" in done.stdout


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
