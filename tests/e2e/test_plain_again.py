"""A model that a recipe made smaller leaves mlopt, and is the source of the next recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plain_modules import answers_without_mlopt

import mlopt
from mlopt.artifact.layout import read_manifest
from mlopt.cli.app import run
from mlopt.formats.torch.model import read_source

pytestmark = [pytest.mark.slow, pytest.mark.process]
pytest.importorskip("torch_pruning", reason="needs the extra mlopt[prune]")

NET = """
import torch

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3))
"""


def recipe(name: str, source: str, **model: Any) -> str:
    return json.dumps({
        "apiVersion": "mlopt/v1", "name": name,
        "model": {
            "source": source, "inputs": {"input": {"dtype": "float32", "shape": ["batch", 4]}}, "outputs": ["y"],
            **model,
        },
        "data": {"evaluation": {"source": "./x.npz"}},
        "target": {"runtime": "onnxruntime", "threads": 1},
        "passes": [{"prune": {"macs": 0.5, "importance": "magnitude"}}, {"export": {"exporter": "torchscript"}}],
        "gates": [
            {"metric": "fidelity.cosine", "min": 0.0}, {"metric": "speedup.median", "min": 0.01},
            {"metric": "size.ratio", "max": 1.0},
        ],
        "measure": {"seconds": 0.05, "rounds": 7, "max_time": 1, "operators": False},
    })  # fmt: skip


def test_from_recipe_to_folder_to_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    x = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    np.savez("x.npz", input=x)
    Path("first.yaml").write_text(recipe("first", "./net.py:build"))
    first = mlopt.optimize("first.yaml", allow_code=True)
    assert first.report.final.size_bytes == (first.path / "model.onnx").stat().st_size, "torch/ does not count"
    assert run(["export-torch", str(first.path), "-o", "plain", "--allow-code"]) == 0
    plain = answers_without_mlopt(tmp_path / "plain", x, tmp_path, "--train")
    with mlopt.load(first.path) as session:
        np.testing.assert_allclose(session.run({"input": x})["y"], plain, rtol=1e-4, atol=1e-5)

    Path("second.yaml").write_text(recipe("second", "./plain/build.py:build"))
    second = mlopt.optimize("second.yaml", allow_code=True)
    assert read_source(second.path / "torch")["sizes"]["0"]["numbers"] == {"out_features": 16}
    assert run(["export-torch", str(second.path), "-o", "smaller", "--allow-code"]) == 0

    Path("third.yaml").write_text(recipe("third", f"./{second.path}/torch/build.py:build", keep_torch=False))
    third = mlopt.optimize("third.yaml", allow_code=True)
    assert not any(name.startswith("torch/") for name in read_manifest(third.path).files)
    assert run(["export-torch", str(third.path), "-o", "none", "--allow-code"]) == 2
