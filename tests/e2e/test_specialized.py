"""A model made for one rate and one size, from the recipe to a refused feed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from branching import voice_feeds, voice_samples, written
from openvino_models import needed
from small_graphs import AT_ANY_SPEED, BRIEFLY

import mlopt
from mlopt.cli.app import run
from mlopt.core.errors import ModelError, RecipeError
from mlopt.run.forecast import foresee
from mlopt.run.request import Request

pytestmark = [pytest.mark.heavy, pytest.mark.process]

RECIPE = """\
apiVersion: mlopt/v1
name: voice
model: {source: voice.onnx}
data: {evaluation: {source: data.npz}}
target: {threads: 1}
passes:
  - specialize:
      dims: {batch: 1, time: 6}
      inputs: {rate: 16000, loud: true}
  - simplify
"""
WITHOUT_DATA = RECIPE.replace("data: {evaluation: {source: data.npz}}\n", "")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLOPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLOPT_CONFIG", str(tmp_path / "config"))
    written(tmp_path / "voice.onnx")
    np.savez(tmp_path / "data.npz", **voice_samples(20))
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path / "r.yaml"


def made(recipe: Path, *overrides: str) -> mlopt.Artifact:
    return mlopt.optimize(recipe, overrides=(*BRIEFLY, AT_ANY_SPEED, *overrides))


def test_the_artifact_takes_what_it_was_made_for_and_nothing_else(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = made(recipe)
    assert artifact.report.verdict == "pass"
    fidelity = artifact.report.final.fidelity
    assert fidelity is not None
    assert fidelity.max_abs == pytest.approx(0, abs=1e-6)
    with mlopt.load(artifact.path) as session:
        assert [spec.name for spec in session.inputs] == ["x", "state", "rate", "loud"]
        session.run(voice_feeds())
        session.run({**voice_feeds(), "rate": 16000, "loud": True})  # what is no array yet
        for other in (voice_feeds(rate=8000), voice_feeds(rows=2), voice_feeds(time=7), voice_feeds(loud=False)):
            with pytest.raises(ModelError, match="the model is not made for"):
                session.run(other)
    lock = (artifact.path / "recipe.lock.yaml").read_text()
    assert "inputs: {rate: 16000, loud: true}" in lock
    assert run(["verify", str(artifact.path)]) == 0
    capsys.readouterr()
    assert run(["inspect", str(artifact.path)]) == 0
    assert "rate: int64[] = 16000" in capsys.readouterr().out
    assert run(["bench", str(artifact.path), "--against", "voice.onnx", "--time", "0.1"]) == 0
    assert run(["bench", "voice.onnx", str(artifact.path), "--data", "data.npz", "--time", "0.1"]) == 0
    assert run(["compare", "voice.onnx", str(artifact.path)]) == 0
    capsys.readouterr()
    np.savez("other.npz", **voice_samples(4, rate=8000))
    assert run(["bench", str(artifact.path), "--data", "other.npz"]) == 2
    assert "sample 0: 8000 instead of 16000" in " ".join(capsys.readouterr().err.split())
    assert run(["compare", "voice.onnx", str(artifact.path), "--data", "other.npz"]) == 2
    foreseen = {row.name: row.cached for row in foresee(Request(source=recipe, overrides=BRIEFLY))[0]}
    assert foreseen == {"source": True, "evaluation": True, "specialize": True, "simplify": True}


def test_without_data_samples_are_made_up_of_what_is_fixed(recipe: Path) -> None:
    recipe.write_text(WITHOUT_DATA)
    assert made(recipe).report.verdict == "pass"
    foreseen = {row.name: row.cached for row in foresee(Request(source=recipe, overrides=BRIEFLY))[0]}
    assert foreseen["evaluation"]
    other = "passes=[{specialize: {inputs: {rate: 8000}}}]"
    assert made(recipe, other).report.verdict == "pass"


def test_a_misspelt_name_is_found_before_any_work(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.write_text(RECIPE.replace("batch", "bacth"))
    assert run(["recipe", "check", "r.yaml"]) == 2
    assert "r.yaml:8:21: the model has no size 'bacth'" in capsys.readouterr().err
    with pytest.raises(RecipeError, match="did you mean 'batch'"):
        made(recipe)


def test_data_of_another_rate_are_no_evidence(recipe: Path) -> None:
    samples = voice_samples(20)
    samples["rate"][[3, 9]] = 8000
    np.savez("data.npz", **samples)
    with pytest.raises(RecipeError, match=r"r.yaml:9:22: evaluation: a sample has another value(.|\n)*sample 3: 8000"):
        made(recipe)


def test_the_lock_can_be_run_again(recipe: Path) -> None:
    artifact = made(recipe)
    again = recipe.with_name("again.yaml")
    again.write_text((artifact.path / "recipe.lock.yaml").read_text())
    assert {step.status for step in made(again).report.steps} == {"cached"}


@needed
def test_a_runtime_that_refuses_the_source_takes_what_was_made_of_it(recipe: Path) -> None:
    proto = onnx.load("voice.onnx")
    proto.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    (branch,) = (each.g for each in proto.graph.node[1].attribute if each.name == "else_branch")
    (node,) = (each for each in branch.node if each.op_type == "Abs")  # OpenVINO knows no Binarizer
    node.op_type, node.domain = "Binarizer", "ai.onnx.ml"
    onnx.save(proto, "voice.onnx")
    artifact = made(recipe, "target.runtime=openvino")
    assert artifact.report.verdict == "pass"
    assert json.loads((artifact.path / "mlopt.json").read_text())["runtime"] == "openvino"
    with mlopt.load(artifact.path) as session:
        session.run(voice_feeds())
        with pytest.raises(ModelError, match="8000 instead of 16000"):
            session.run(voice_feeds(rate=8000))
