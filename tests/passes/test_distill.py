"""The pass: a student comes near its teacher, whoever that is, and what does not go together is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pass_runs import applied, run_pass
from prunable_models import CNN, IMAGE, built, made, samples
from pydantic import ValidationError

from mlopt.core.errors import ModelError
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import Model
from mlopt.formats.torch.model import load_module, open_torch
from mlopt.passes import export
from mlopt.passes.base import PassResult
from mlopt.passes.distill import PASS, DistillConfig

pytestmark = pytest.mark.heavy

TRAIN = {"epochs": 12, "batch_size": 8, "learning_rate": 0.01, "threads": 1, "held_out": 0.2}


def run(tmp_path: Path, model: Model, config: dict[str, Any], **more: Any) -> PassResult:
    given = {"train": samples(tmp_path / "train", model.inputs), "source": model, "base": tmp_path, **more}
    few = dict(samples(tmp_path / "few", model.inputs, 8, seed=1).inputs)
    return applied(
        run_pass(PASS, model, {"train": TRAIN, **config}, tmp_path, samples=few, inputs=model.inputs, **given)
    )


def student(folder: Path, classes: int = 4) -> str:
    text = CNN.replace("32", "8").replace("nn.Linear(8, 4)", f"nn.Linear(8, {classes})")
    (folder / "student.py").write_text(f"import torch\n{text}")
    return "./student.py:build"


def apart(model: Model, other: Model, data: Dataset) -> float:
    feed = torch.from_numpy(np.array(data.inputs["image"]))
    with torch.no_grad():
        ours, theirs = (load_module(each)(feed)[0].softmax(1) for each in (model, other))
    return float((ours - theirs).abs().mean())


def unlabelled(data: Dataset, folder: Path) -> Dataset:
    return store(Samples(dict(data.inputs)), folder, "made")


@pytest.mark.parametrize("labels", [True, False])
def test_a_student_of_its_own_comes_near_the_source(tmp_path: Path, labels: bool) -> None:
    model, data = made(tmp_path, "cnn"), samples(tmp_path / "train", IMAGE)
    given = data if labels else unlabelled(data, tmp_path / "unlabelled")
    name = student(tmp_path)
    config = {"student": name, "loss": "kd", "alpha": 1.0}
    found = run(tmp_path, model, config, train=given)
    raw = run(tmp_path, model, {**config, "train": {**TRAIN, "epochs": 1, "learning_rate": 1e-9}}, train=given)
    made_of = open_torch(found.path)
    assert load_module(made_of).model.first.weight.shape[0] == 8
    assert apart(made_of, model, data) < 0.8 * apart(open_torch(raw.path), model, data)
    assert found.notes["loss"] == "kd"


def test_the_model_itself_may_be_the_student(tmp_path: Path) -> None:
    """Here it is the teacher, too: there is little to learn but the averages of a batch norm that has seen no data."""
    model = made(tmp_path, "cnn")
    found = run(tmp_path, model, {"alpha": 1.0, "train": {**TRAIN, "learning_rate": 1e-5}})
    before, after = (load_module(each).state_dict() for each in (model, open_torch(found.path)))
    assert before.keys() == after.keys()
    assert float((before["model.head.weight"] - after["model.head.weight"]).abs().max()) < 1e-2


@pytest.mark.parametrize("features", [{"third": "third"}, {"first": "second"}])
@pytest.mark.parametrize("kind", ["mse", "attention"])
def test_layers_are_paired(tmp_path: Path, features: dict[str, str], kind: str) -> None:
    found = run(
        tmp_path, made(tmp_path, "cnn"), {"student": student(tmp_path), "features": features, "feature_loss": kind}
    )
    losses = [each["loss"] for each in found.notes["trainings"][0]["epochs"]]
    assert losses[-1] < losses[0]
    assert "projectors" not in str(list(load_module(open_torch(found.path)).state_dict()))


def test_an_onnx_file_teaches(tmp_path: Path) -> None:
    model, data = made(tmp_path, "cnn"), samples(tmp_path / "train", IMAGE)
    few = dict(samples(tmp_path / "few", IMAGE, 8, seed=1).inputs)
    exported = applied(run_pass(export.PASS, model, {}, tmp_path, inputs=model.inputs, samples=few))
    (tmp_path / "teacher.onnx").write_bytes(exported.path.read_bytes())
    config = {"student": student(tmp_path), "alpha": 1.0}
    by_file = run(tmp_path, model, {**config, "teacher": "./teacher.onnx"})
    by_module = run(tmp_path, model, config)
    ours, theirs = (open_torch(each.path) for each in (by_file, by_module))
    assert apart(ours, theirs, data) < 0.02


def test_embeddings_are_learnt_where_there_are_no_classes(tmp_path: Path) -> None:
    data = unlabelled(samples(tmp_path / "train", IMAGE), tmp_path / "unlabelled")
    found = run(tmp_path, made(tmp_path, "cnn"), {"student": student(tmp_path)}, train=data)
    assert found.notes["loss"] == "embedding"


@pytest.mark.parametrize("loss", ["kd", "dkd"])
def test_samples_without_a_label_teach_all_the_same(tmp_path: Path, loss: str) -> None:
    data = samples(tmp_path / "train", IMAGE)
    labels = np.where(np.arange(data.count) % 3, -1, np.asarray(data.labels))
    some = store(Samples(dict(data.inputs), labels), tmp_path / "some", "made")
    found = run(tmp_path, made(tmp_path, "cnn"), {"student": student(tmp_path), "loss": loss}, train=some)
    assert np.isfinite([each["loss"] for each in found.notes["trainings"][0]["epochs"]]).all()


def test_a_student_of_other_outputs_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="answer in different shapes") as caught:
        run(tmp_path, made(tmp_path, "cnn"), {"student": student(tmp_path, classes=3), "alpha": 1.0})
    assert "[[2, 4]] of the teacher, and [[2, 3]] of the student" in str(caught.value.problems[0].got)


def test_a_layer_that_there_is_not_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such layer") as caught:
        run(tmp_path, made(tmp_path, "cnn"), {"features": {"thrid": "third"}})
    assert "third" in str(caught.value.problems[0].fix)


def test_another_function_teaches(tmp_path: Path) -> None:
    model = built(tmp_path / "own", CNN, IMAGE)
    (tmp_path / "teacher.py").write_text(f"import torch\n{CNN}")
    found = run(tmp_path, model, {"teacher": "./teacher.py:build", "student": student(tmp_path)})
    assert found.notes["teacher"] == "./teacher.py:build"


def test_what_it_names_belongs_to_it() -> None:
    assert DistillConfig().named == {}
    named = DistillConfig(teacher="t.onnx", student="s.py:build").named
    assert named == {"teacher": "t.onnx", "student": "s.py:build"}


@pytest.mark.parametrize(
    "config",
    [
        {"teacher": "t.onnx", "features": {"a": "b"}},
        {"train": {"step": "s.py:step"}},
        {"teacher": "t.pt"},
        {"alpha": 2},
    ],
)
def test_keys_that_do_not_fit_are_told(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DistillConfig(**config)
