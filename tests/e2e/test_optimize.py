"""The main job on small real models: what comes out, what the cache saves, and what survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_graphs import AT_ANY_SPEED, BRIEFLY, CLASSIFIER_RECIPE, write_classifier
from small_models import NETWORK, RECIPE

import mlopt
from mlopt.cli.app import run
from mlopt.core.errors import MeasureError
from mlopt.run.forecast import foresee
from mlopt.run.request import Request
from mlopt.runtimes.torch_compile import missing_compiler

QUICK = [word for override in BRIEFLY for word in ("--set", override)]
WITHOUT_QUANTIZE = "passes=[export, simplify]"


def statuses(artifact: mlopt.Artifact) -> dict[str, str]:
    return {step.name: step.status for step in artifact.report.steps}


def forecast(recipe: Path, *overrides: str) -> dict[str, tuple[bool | None, str]]:
    steps, _ = foresee(Request(source=recipe, overrides=overrides, allow_code=True))
    return {step.name: (step.cached, step.why) for step in steps}


@dataclass(frozen=True)
class Optimized:
    """A recipe that has been run once, with the cache and the key of that run."""

    recipe: Path
    artifact: mlopt.Artifact


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Optimized]:
    folder = tmp_path_factory.mktemp("optimized")
    (folder / "net.py").write_text(NETWORK)
    (folder / "net.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLOPT_CACHE", str(folder / "cache"))
        patch.setenv("MLOPT_CONFIG", str(folder / "config"))
        yield Optimized(folder / "net.yaml", mlopt.optimize("net.yaml", allow_code=True))


@pytest.fixture
def optimized(once: Optimized, monkeypatch: pytest.MonkeyPatch) -> Optimized:
    monkeypatch.chdir(once.recipe.parent)
    monkeypatch.setenv("MLOPT_CACHE", str(once.recipe.parent / "cache"))
    monkeypatch.setenv("MLOPT_CONFIG", str(once.recipe.parent / "config"))
    return once


COMPILED = ("references=[torch_compile]", "gates=[{metric: speedup.median, min: 0.001}]", WITHOUT_QUANTIZE)


@pytest.mark.cold
def test_a_source_that_does_not_compile_is_a_reference_less(
    optimized: Optimized, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "g++").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / "g++"))
    artifact = mlopt.optimize("net.yaml", allow_code=True, overrides=COMPILED, output=tmp_path / "out")
    assert (artifact.exit_code, set(artifact.report.references)) == (0, {"torch_eager", "onnx_fp32"})
    (told,) = (note for note in artifact.report.notes if note.startswith("torch_compile was not measured: "))
    assert "the model fails under torch.compile" in told
    gate = "gates=[{metric: speedup.median, min: 0.001, vs: torch_compile}]"
    with pytest.raises(MeasureError, match="torch_compile"):
        mlopt.optimize("net.yaml", allow_code=True, overrides=[*COMPILED, gate], output=tmp_path / "out")


@pytest.mark.slow
@pytest.mark.skipif(missing_compiler() is not None, reason="there is no C++ compiler")
def test_a_compiled_source_is_a_reference_and_leaves_nothing_in_the_home(
    optimized: Optimized, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    gate = "gates=[{metric: speedup.median, min: 0.001, vs: torch_compile}]"
    artifact = mlopt.optimize("net.yaml", allow_code=True, overrides=[*COMPILED, gate], output=tmp_path / "out")
    found = artifact.report.references["torch_compile"]
    assert (found.runtime, found.options["compile"]) == ("torch", True)
    assert found.fidelity is not None
    assert found.fidelity.relative_error < 1e-5
    assert [each.verdict for each in artifact.report.gates if "torch_compile" in each.limit] == ["pass"]
    left = (path for path in home.rglob("*") if path.is_file())
    assert [path for path in left if not {"matplotlib", ".onnxruntime"} & set(path.parts)] == []
    assert "torch_compile" in (artifact.path / "report.html").read_text()
    assert "torch_compile" in (artifact.path / "report.md").read_text()


def test_a_recipe_becomes_a_signed_artifact(optimized: Optimized) -> None:
    artifact = optimized.artifact
    assert (artifact.path, artifact.signed, artifact.version) == (Path("artifacts/net"), True, 1)
    assert set(artifact.report.references) == {"torch_eager", "onnx_fp32"}
    assert artifact.report.final.fidelity is not None
    assert set(statuses(artifact).values()) <= {"applied", "dropped"}
    assert {path.name for path in artifact.path.iterdir()} == {
        "bom.cdx.json", "claims.jsonl", "mlopt.json", "model.onnx", "model.sig", "recipe.lock.yaml",
        "report.html", "report.json", "report.md", "samples.json", "sketches.json",
    }  # fmt: skip
    assert run(["verify", "artifacts/net"]) == 0
    assert run(["gate", "artifacts/net"]) == 0


def test_the_loaded_artifact_computes_what_the_source_does(optimized: Optimized) -> None:
    import torch

    names: dict[str, Any] = {}
    exec(NETWORK, names)
    torch.manual_seed(0)
    module = names["build"]().eval()
    image = names["images"](5, 3)["image"]
    expected = module(torch.from_numpy(image)).detach().numpy()
    with mlopt.load(optimized.artifact.path) as session:
        logits = session.run({"image": image})["logits"]
    assert np.sum(logits * expected) / np.linalg.norm(logits) / np.linalg.norm(expected) > 0.98


def test_a_changed_key_runs_the_right_steps_again_and_says_why(optimized: Optimized) -> None:
    seen = forecast(optimized.recipe, "passes.quantize.per_channel=false")
    assert not seen["quantize"][0]
    assert seen["quantize"][1] == "config.per_channel: True -> False"
    assert seen["export"] == seen["simplify"] == (True, "nothing changed")


def test_a_second_run_takes_every_pass_from_the_cache(optimized: Optimized) -> None:
    assert {name: cached for name, (cached, _) in forecast(optimized.recipe).items() if not cached} == {}
    second = mlopt.optimize(optimized.recipe, allow_code=True, overrides=[*BRIEFLY, WITHOUT_QUANTIZE])
    assert statuses(second)["export"] == statuses(second)["simplify"] == "cached"
    assert second.version == optimized.artifact.version + 1


def test_other_calibration_data_runs_only_what_calibrates(optimized: Optimized) -> None:
    seen = forecast(optimized.recipe, "data.calibration.limit=8")
    assert [name for name, (cached, _) in seen.items() if not cached][:2] == ["calibration", "quantize"]
    required = "passes=[export, simplify, {quantize: {mode: static}}]"
    again = mlopt.optimize(
        optimized.recipe, allow_code=True, overrides=[*BRIEFLY, required, "data.calibration.limit=8"]
    )
    assert statuses(again) == {"export": "cached", "simplify": "cached", "quantize": "applied"}
    why = forecast(optimized.recipe, "data.calibration.limit=4")["calibration"]
    assert why == (False, "source.limit: 8 -> 4")


def test_changed_code_runs_what_depends_on_it(optimized: Optimized) -> None:
    code = optimized.recipe.with_name("net.py")
    code.write_text(code.read_text() + "\n# a comment\n")
    seen = forecast(optimized.recipe)
    assert seen["source"] == (False, "code.net.py changed")
    assert seen["export"][0] is None
    again = mlopt.optimize(optimized.recipe, allow_code=True, overrides=[*BRIEFLY, WITHOUT_QUANTIZE])
    assert statuses(again)["export"] == "applied"  # the module may have changed, so it is exported again
    assert statuses(again)["simplify"] == "cached"  # and gave the same bytes, so nothing after it runs


@dataclass(frozen=True)
class Printed:
    """A command that has been run once in ``folder``."""

    folder: Path
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Printed:
    """A bare model, optimized without a recipe."""
    folder = tmp_path_factory.mktemp("bare")
    model, data = write_classifier(folder)
    command = [sys.executable, "-m", "mlopt", "optimize", str(model), "--data", str(data), *QUICK, "--json"]
    command += ["--set", AT_ANY_SPEED, "--set", "passes.quantize.seconds=2"]
    environment = {**os.environ, "MLOPT_CACHE": str(folder / "cache"), "MLOPT_CONFIG": str(folder / "config")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return Printed(folder, done.returncode, done.stdout, done.stderr)


def test_a_bare_model_needs_no_recipe(bare: Printed) -> None:
    assert bare.code == 0, bare.err
    report = json.loads(bare.out)
    assert report["schema"] == "mlopt.report/v1"
    assert [step["pass"] for step in report["steps"]] == ["simplify", "quantize", "fuse"]
    assert report["data"]["calibration"]["samples"] == report["data"]["evaluation"]["samples"] == 32
    assert "artifacts/classifier" in bare.err


def test_gates_decide_the_exit_code(bare: Printed, tmp_path: Path) -> None:
    measured = json.loads(bare.out)["final"]["latency_ms"]["mean"]
    limits = {
        "small.yaml": ("- {metric: size_mb, max: 0.000001}", 1),
        "undecided.yaml": (f"- {{metric: latency.mean_ms, max: {measured!r}}}", 3),  # within any interval
        "nothing.yaml": ("- {metric: speedup.median, min: 1, vs: torch_eager}", 2),
        "fine.yaml": ("- {metric: latency.mean_ms, max: 100000}", 0),
    }
    for name, (text, code) in limits.items():
        (tmp_path / name).write_text(text)
        assert run(["gate", str(bare.folder / "artifacts/classifier"), "--gates", str(tmp_path / name)]) == code, name


def test_failed_gates_leave_a_report_and_no_signature(classifier: tuple[Path, Path]) -> None:
    model, data = classifier
    failing = ["--set", "gates=[{metric: size_mb, max: 0.000001}]", "--set", "passes=[]"]
    assert run(["optimize", str(model), "--data", str(data), *QUICK, *failing]) == 1
    assert Path("artifacts/classifier/report.html").exists()
    assert not Path("artifacts/classifier/model.sig").exists()
    assert run(["optimize", str(model), "--data", str(data), *QUICK, *failing, "--allow-ungated"]) == 1
    assert json.loads(Path("artifacts/classifier/mlopt.json").read_text())["ungated"] is True
    assert run(["verify", "artifacts/classifier"]) == 0
    assert run(["verify", "artifacts/classifier", "--require-gate", "pass"]) == 1


def start(recipe: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlopt", "optimize", str(recipe), "--allow-code", *more]
    return subprocess.Popen(command, cwd=recipe.parent, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def onnx_recipe(classifier: tuple[Path, Path]) -> Path:
    recipe = classifier[0].with_name("classifier.yaml")
    recipe.write_text(CLASSIFIER_RECIPE)
    return recipe


def test_two_runs_at_once_both_end_well(onnx_recipe: Path) -> None:
    both = [start(onnx_recipe), start(onnx_recipe)]
    printed = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert json.loads(Path("artifacts/classifier/mlopt.json").read_text())["version"] == 2
    assert run(["verify", "artifacts/classifier"]) == 0
    assert all(cached for cached, _ in forecast(onnx_recipe).values())


def test_a_killed_run_goes_on_from_the_last_finished_pass(onnx_recipe: Path) -> None:
    process = start(onnx_recipe, "--set", "measure.seconds=60")
    passes = Path(os.environ["MLOPT_CACHE"]) / "passes"
    deadline = time.monotonic() + 120
    while not (passes.exists() and len(list(passes.iterdir())) >= 2):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the first two passes took too long"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not Path("artifacts/classifier").exists()
    resumed = mlopt.optimize(onnx_recipe)
    assert statuses(resumed)["simplify"] == statuses(resumed)["quantize"] == "cached"
    assert run(["verify", "artifacts/classifier"]) == 0


PLUGIN = """
import shutil

from mlopt.formats.model import ONNX
from mlopt.passes.base import Pass, PassConfig, PassResult


class CopyConfig(PassConfig):
    note: str = "copied"


def run(model, config, context):
    target = context.out / "model.onnx"
    shutil.copyfile(model.path, target)
    return PassResult(target, {"note": config.note})


PASS = Pass(
    name=NAME, version=1, summary="Copies the model.", accepts=frozenset({ONNX}), produces=ONNX,
    config=CopyConfig, run=run,
)
"""


def install_plugin(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (folder / f"mlopt_plugin_{name}.py").write_text(PLUGIN.replace("NAME", repr(name)))
    info = folder / f"mlopt_plugin_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mlopt-plugin-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mlopt.passes]\n{name} = mlopt_plugin_{name}:PASS\n")
    monkeypatch.syspath_prepend(str(folder))


def test_a_pass_from_another_package(
    classifier: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin(tmp_path, monkeypatch, "copy")
    recipe: dict[str, Any] = {
        "apiVersion": "mlopt/v1",
        "name": "copied",
        "model": {"source": "./classifier.onnx"},
        "data": {"evaluation": {"source": "./x.npz"}},
        "passes": [{"copy": {"note": "from outside"}}],
        "measure": {"seconds": 0.05, "rounds": 7, "max_time": 1, "operators": False},
    }
    (tmp_path / "copied.yaml").write_text(json.dumps(recipe))
    artifact = mlopt.optimize("copied.yaml")
    assert statuses(artifact) == {"copy": "applied"}
    assert artifact.report.steps[0].notes == {"note": "from outside"}


def test_two_passes_of_one_name_are_refused(
    classifier: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install_plugin(tmp_path, monkeypatch, "fuse")
    assert run(["optimize", str(classifier[0])]) == 2
    message = capsys.readouterr().err
    assert "two passes are called 'fuse'" in message
    assert "mlopt-plugin-fuse (mlopt_plugin_fuse:PASS)" in message
