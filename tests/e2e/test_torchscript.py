"""A TorchScript file becomes an artifact, with consent and not without."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_graphs import AT_ANY_SPEED, BRIEFLY

from mlopt.cli.app import run

torch = pytest.importorskip("torch", reason="making TorchScript needs the extra mlopt[torch]")

import scripted_modules as modules  # noqa: E402

pytestmark = pytest.mark.process

QUICK = [word for override in BRIEFLY for word in ("--set", override)]
SHORT = ["--set", AT_ANY_SPEED, "--set", "passes=[simplify]"]
RECIPE = """
apiVersion: mlopt/v1
name: net
model: {source: ./m.pt, inputs: {picture: {dtype: float32, shape: [batch, 1, 6, 6]}}, outputs: [scores]}
data: {evaluation: {source: ./x.npz}}
passes: [simplify]
gates: [{metric: fidelity.cosine, min: 0.99}, {metric: speedup.median, min: 0.01}]
"""
Write = Callable[[str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """``write(name)``: a network in TorchScript as ``m.pt``, and samples of an input of this name."""
    monkeypatch.chdir(tmp_path)

    def make(name: str) -> None:
        modules.save(modules.Convolutional().eval(), Path("m.pt"), (torch.ones(1, 1, 6, 6),))
        np.savez("x.npz", **{name: np.random.default_rng(0).random((12, 1, 6, 6))})

    return make


def test_a_recipe_of_one_runs_with_consent(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("picture")
    Path("net.yaml").write_text(RECIPE)
    assert run(["optimize", "net.yaml", "--no-sign", *QUICK]) == 2
    said = capsys.readouterr().err
    assert "is no sandbox: that takes your consent" in " ".join(said.split())
    assert "add --allow-code" in said
    assert run(["plan", "net.yaml"]) == 0
    assert run(["optimize", "net.yaml", "--no-sign", "--allow-code", *QUICK]) == 0, capsys.readouterr().err
    report = json.loads(Path("artifacts/net/report.json").read_text())
    assert any(f"exported from TorchScript by torch {torch.__version__}" in note for note in report["notes"])
    assert report["source_notes"]["exported"]["sizes_checked"]["batch"][:3] == [2, 1, 3]
    lock = yaml.safe_load(Path("artifacts/net/recipe.lock.yaml").read_text())["lock"]
    assert "file m.pt" in lock["sources"]
    assert "torch" in lock["packages"]


def test_a_bare_file_runs_with_the_recipe_that_is_made_for_it(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("image")
    command = ["optimize", "m.pt", "--data", "x.npz", "--no-sign", *QUICK, *SHORT]
    assert run(command) == 2
    assert "add --allow-code" in capsys.readouterr().err
    assert run([*command, "--allow-code"]) == 0, capsys.readouterr().err
    assert yaml.safe_load(Path("artifacts/m.yaml").read_text())["model"]["source"] == "../m.pt"


def test_its_code_does_not_run_without_consent(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("x")
    modules.save(modules.WritesWhenLoaded(), Path("m.pt"))
    np.savez("x.npz", x=np.arange(8, dtype=np.float32).reshape(4, 2))
    for command in (
        ["optimize", "m.pt", "--data", "x.npz"], ["plan", "m.pt", "--data", "x.npz"], ["bench", "m.pt"],
        ["inspect", "m.pt"], ["recipe", "init", "m.pt", "--data", "x.npz"], ["recipe", "check", "m.yaml"],
        ["optimize", "m.yaml"], ["plan", "m.yaml"],
    ):  # fmt: skip
        run(command)
        assert not Path("ran").exists(), command
    assert "next: mlopt optimize m.yaml --allow-code" in capsys.readouterr().err
    assert run(["optimize", "m.yaml", "--allow-code", "--no-sign", *QUICK, *SHORT]) == 0
    assert Path("ran").exists()
