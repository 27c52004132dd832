"""Models as users have them, through the program: state beside the weights, inputs that are written to, caches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from small_graphs import AT_ANY_SPEED, BRIEFLY

from mlopt.cli.app import run

pytest.importorskip("torch", reason="needs the extra mlopt[torch]")

QUICK = [word for override in (*BRIEFLY, AT_ANY_SPEED) for word in ("--set", override)]
RECIPE = """
apiVersion: mlopt/v1
name: net
model: {source: './net.py:build', inputs: {x: {dtype: float32, shape: [batch, time]}}}
passes: [export]
metric: {name: './net.py:score'}
"""
TRAINED = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = 1.0
        self.register_buffer("mean", torch.zeros(1), persistent=False)

    def forward(self, x):
        return (x - self.mean) * self.scale


def build():
    print("building")
    return Net()


def train(model):
    model.mean.fill_(3.0)
    model.scale = 10.0


def score(outputs, labels, reference):
    print("scoring")
    return [1.0] * len(outputs["output"])
"""
ODD = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(8))
        self.kept = torch.empty(0)
        self.shape = None

    def forward(self, x):
        x.mul_(2.0)
        spectrum = torch.stft(x, 8, 4, window=self.window, center=True, return_complex=True).abs()
        if self.shape != spectrum.shape:
            self.shape, self.kept = spectrum.shape, torch.arange(spectrum.shape[2]) * 0.1
        return (spectrum + self.kept).flatten(1)


def build():
    return Net()


def score(outputs, labels, reference):
    print("scoring")
    return [float(abs(a - b).max() < 1e-4) for a, b in zip(outputs["output"], reference["output"])]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with data of one sample size."""
    import numpy as np

    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", x=np.random.default_rng(0).standard_normal((8, 24)).astype(np.float32))
    return tmp_path


def optimize(code: str, recipe: str, options: Sequence[str] = (), more: Sequence[str] = ()) -> int:
    Path("net.py").write_text(code)
    Path("net.yaml").write_text(recipe + "data: {evaluation: {source: ./x.npz}}\n")
    return run([*options, "optimize", "net.yaml", "--allow-code", "--no-sign", *QUICK, *more])


def test_state_beside_the_weights_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert optimize(TRAINED, RECIPE.replace("build'", "build', weights: './net.py:train'")) == 2
    said = capfd.readouterr().err
    assert "the trained model is lost" in said
    assert "buffer 'mean'" in said
    assert "attribute 'scale' (10.0, made again 1.0)" in said
    assert "persistent=True" in said


def test_views_caches_and_written_inputs_come_out_right(capfd: pytest.CaptureFixture[str]) -> None:
    assert optimize(ODD, RECIPE, more=["--json"]) == 0
    report = json.loads(capfd.readouterr().out)  # and nothing that the recipe's Python prints
    assert report["final"]["accuracy"]["value"] == 1.0
    assert report["steps"][0]["status"] == "applied"


def test_v_shows_the_traceback_from_another_process(capfd: pytest.CaptureFixture[str]) -> None:
    Path("net.py").write_text("def images():\n    return inner()\n\n\ndef inner():\n    return {}['key']\n")
    Path("net.yaml").write_text(RECIPE.partition("metric")[0] + "data: {evaluation: {source: './net.py:images'}}\n")
    command = ["optimize", "net.yaml", "--allow-code", "--no-sign"]
    assert run(command) == 2
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert "hint: `mlopt -v optimize ...` shows the traceback" in said
    assert run(["-v", *command]) == 2
    said = capfd.readouterr().err
    assert "in inner\n    return {}['key']" in said
    assert "KeyError: 'key'" in said
