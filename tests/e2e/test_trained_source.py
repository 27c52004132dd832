"""``model.train`` in whole runs: from recipe to report, and on after kill -9 with the same weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlopt
from mlopt.cli.app import run
from mlopt.core.cache import Store
from mlopt.report import training

pytestmark = pytest.mark.process

NET = """
import os
import signal
import torch

def build():
    return torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))

def step(module, batch):
    step.calls += module.training
    if os.environ.get("KILLED_AT") == str(step.calls):
        os.kill(os.getppid(), signal.SIGKILL)  # and with it this worker
        signal.pause()
    return torch.nn.functional.cross_entropy(module(batch["input"]), batch["labels"])

step.calls = 0
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 240)
    points = (random.normal(size=(240, 4)) + 3 * np.eye(4)[labels]).astype(np.float32)
    np.savez("x.npz", input=points[:80], labels=labels[:80])
    np.savez("train.npz", input=points[80:], labels=labels[80:])
    return {
        "apiVersion": "mlopt/v1", "name": "net",
        "model": {
            "source": "./net.py:build", "inputs": {"input": {"dtype": "float32", "shape": ["batch", 4]}},
            "train": {"epochs": 6, "batch_size": 16, "learning_rate": 0.05, "threads": 1, "step": "./net.py:step"},
        },
        "data": {role: {"source": f"./{file}.npz", "labels": "labels"} for role, file in
                 (("train", "train"), ("evaluation", "x"))},
        "metric": {"name": "accuracy"}, "target": {"runtime": "onnxruntime", "threads": 1},
        "passes": [{"export": {"exporter": "torchscript"}}], "gates": [{"metric": "accuracy.value", "min": 0.8}],
        "measure": {"seconds": 0.05, "rounds": 7, "max_time": 1, "operators": False},
    }  # fmt: skip


def written(recipe: dict[str, Any]) -> str:
    Path("net.yaml").write_text(json.dumps(recipe))
    return "net.yaml"


def killed_at(calls: int, recipe: dict[str, Any], cache: Path) -> None:
    command = [sys.executable, "-m", "mlopt", "optimize", written(recipe), "--allow-code", "--no-sign"]
    environment = {**os.environ, "KILLED_AT": str(calls), "MLOPT_CACHE": str(cache)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr


def digest_of_source(cache: Path) -> str:
    return next(str(entry.result["digest"]) for group, entry in Store(cache).entries() if group == "sources")


@pytest.mark.slow
def test_it_goes_on_after_kill_9_and_the_report_says_so(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    killed_at(30, recipe, killed)
    monkeypatch.setenv("MLOPT_CACHE", str(killed))
    report = mlopt.optimize(written(recipe), allow_code=True, sign=False).report
    (found,) = training.read(report.source_notes)
    assert found.resumed_at == 27, "after the third epoch of nine steps"
    assert found.epochs[-1].loss < found.epochs[0].loss
    assert report.final.accuracy is not None
    assert report.final.accuracy.value > 0.8
    page = Path("artifacts/net/report.html").read_text()
    assert "The source was trained (model.train): 6 epochs, 54 steps" in page
    assert "How the source was trained: model.train" in page
    assert "went on at step 27" in Path("artifacts/net/report.md").read_text()
    assert not list((killed / "unfinished").glob("*"))
    assert "net.py" in {file.name for file in Path("artifacts/net/torch").iterdir()}, "its weights are nowhere else"

    monkeypatch.setenv("MLOPT_CACHE", str(whole))
    assert run(["optimize", written(recipe), "--allow-code", "--no-sign"]) == 0
    assert digest_of_source(whole) == digest_of_source(killed)


def test_what_it_is_trained_on_is_nothing_that_it_is_judged_on(
    recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe["data"]["train"]["source"] = "./x.npz"
    assert run(["optimize", written(recipe), "--allow-code"]) == 2
    assert "training and evaluation share samples" in capsys.readouterr().err


def test_its_python_takes_consent(recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["optimize", written(recipe)]) == 2
    assert capsys.readouterr().err.count("this runs Python, which takes your consent") == 2
