"""A pass of another package that goes from PyTorch to PyTorch and trains, in whole runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import mlopt
from mlopt.cli.app import run
from mlopt.core.errors import DataError
from mlopt.run.forecast import foresee
from mlopt.run.packaging import Artifact
from mlopt.run.request import Request

NET = """
import torch

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3))
"""
PLUGIN = """
import shutil

import safetensors.torch

from mlopt.formats.model import ONNX, TORCH
from mlopt.passes.base import Pass, PassConfig, PassResult, Requires


class TuneConfig(PassConfig):
    by: float = 1.0


def run(model, config, context):
    out = context.out / "model"
    shutil.copytree(model.path, out)
    weights = safetensors.torch.load_file(out / "weights.safetensors")
    scale = config.by / context.train.count
    safetensors.torch.save_file({k: v * scale for k, v in weights.items()}, out / "weights.safetensors")
    return PassResult(out, {"labels": len(context.train.labels)})


PASS = Pass(
    name="tune", version=1, summary="Scales the weights.", accepts=frozenset({TORCH}), produces=TORCH,
    config=TuneConfig, run=run, requires=Requires(training=True), lossy=True,
)
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A recipe for a small net and ten samples to train on, with the plug-in installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    info = tmp_path / "mlopt_plugin_tune-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mlopt-plugin-tune\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mlopt.passes]\ntune = mlopt_plugin_tune:PASS\n")
    (tmp_path / "mlopt_plugin_tune.py").write_text(PLUGIN)
    (tmp_path / "net.py").write_text(NET)
    values = np.random.default_rng(0).normal(size=(42, 4)).astype(np.float32)
    np.savez("x.npz", input=values[:32])
    np.savez("train.npz", input=values[32:], labels=np.arange(10) % 3)
    return {
        "apiVersion": "mlopt/v1",
        "name": "net",
        "model": {
            "source": "./net.py:build", "inputs": {"input": {"dtype": "float32", "shape": ["batch", 4]}},
            "outputs": ["y"],
        },
        "data": {"train": {"source": "./train.npz"}, "evaluation": {"source": "./x.npz"}},
        "gates": [{"metric": "fidelity.cosine", "min": 0.5}],
        "measure": {"seconds": 0.05, "rounds": 7, "max_time": 1, "operators": False},
    }  # fmt: skip


def small_model() -> onnx.ModelProto:
    specs = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("input", "y"))
    graph = helper.make_graph([helper.make_node("Relu", ["input"], ["y"])], "net", [next(specs)], [next(specs)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def optimize(recipe: dict[str, Any], *passes: Any) -> Artifact:
    Path("net.yaml").write_text(json.dumps({**recipe, "passes": list(passes)}))
    return mlopt.optimize("net.yaml", allow_code=True, sign=False)


@pytest.mark.slow
def test_it_trains_and_is_judged_by_what_export_makes_of_it(recipe: dict[str, Any], tmp_path: Path) -> None:
    """The first step gains nothing, so it goes; the second one has to stay. A gate asks for fidelity."""
    export = {"export": {"exporter": "torchscript"}}  # the faster one
    report = optimize(recipe, {"tune": {"by": 9.0, "optional": True}}, {"tune": {"by": 9.5}}, export).report
    first, second, third = report.steps
    assert (first.status, second.status, third.status) == ("dropped", "applied", "applied")
    assert "the speed of the model before it" in str(first.reason)
    assert second.notes == {"labels": 10}
    assert report.baseline.fidelity is not None
    assert report.final.fidelity is not None
    assert report.baseline.fidelity.relative_error < 1e-5 < 1e-2 < report.final.fidelity.relative_error
    assert report.data["train"]["samples"] == 10
    assert f"data.train: {report.data['train']['digest']}" in Path("artifacts/net/recipe.lock.yaml").read_text()
    planned, _ = foresee(Request(source=tmp_path / "net.yaml", allow_code=True))
    assert [row.name for row in planned] == ["source", "evaluation", "train", "tune", "tune", "export"]
    assert {row.cached for row in planned} == {True}


@pytest.mark.process
def test_what_it_trains_on_is_not_what_it_is_judged_on(recipe: dict[str, Any]) -> None:
    onnx.save(small_model(), "net.onnx")
    recipe["model"], recipe["data"]["train"] = {"source": "./net.onnx"}, {"source": "./x.npz"}
    with pytest.raises(DataError, match="training and evaluation share samples") as caught:
        optimize(recipe, "simplify")
    assert caught.value.problems[0].got == "32 shared: 32 samples of ./x.npz, 32 of ./x.npz"


def test_without_training_data_the_chain_is_refused(recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    del recipe["data"]["train"]
    Path("net.yaml").write_text(json.dumps({**recipe, "passes": ["tune", "export"]}))
    assert run(["optimize", "net.yaml", "--allow-code"]) == 2
    message = capsys.readouterr().err
    assert "'tune' needs training data" in message
    assert "add data.train to the recipe" in message


@pytest.mark.slow
def test_qat_may_be_dropped_and_export_stands_in_for_it(recipe: dict[str, Any]) -> None:
    """Required, it goes on to `simplify`; optional, it gains nothing in so small a net, and `export` has its turn."""
    pytest.importorskip("torchao", reason="needs the extra mlopt[qat]")
    qat = {"train": {"epochs": 2, "batch_size": 4, "threads": 1}}
    report = optimize(recipe, {"qat": qat}, "simplify").report
    assert [step.status for step in report.steps] == ["applied", "applied"]
    assert report.steps[0].notes["layers"] == 2
    assert report.steps[0].notes["trainings"][0]["name"] == "qat"
    graph = onnx.load("artifacts/net/model.onnx").graph
    assert {each.data_type for each in graph.initializer} >= {TensorProto.INT8, TensorProto.INT32}
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    report = optimize(recipe, {"qat": {**qat, "optional": True}}, "export").report
    qat_step, export_step = report.steps
    assert qat_step.status == "dropped"
    assert "the speed of the model before it" in str(qat_step.reason)
    assert export_step.status in {"applied", "cached"}
