from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mlopt.core.errors import DataError, ModelError, RecipeError
from mlopt.formats.onnx.file import open_onnx
from mlopt.passes.base import Pass
from mlopt.recipe.generate import recipe_for_model
from mlopt.recipe.load import parse
from mlopt.recipe.sources import load_source

Passes = dict[str, Pass[Any]]
OF_QUALITY = [f"fidelity.{name}" for name in ("cosine", "relative_error", "shift", "worst_part")]


def save_model(path: Path, *, output: str = "output", op: str = "Relu", shape: tuple[Any, ...] = ("n", 10)) -> Path:
    """Write a model of one operator that keeps its input's shape."""
    tensors = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", output)]
    graph = onnx.helper.make_graph([onnx.helper.make_node(op, ["x"], [output])], "g", tensors[:1], tensors[1:])
    path.parent.mkdir(exist_ok=True)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]), path)
    return path


def save_data(path: Path, count: int) -> Path:
    np.savez(path, x=np.random.default_rng(0).random((count, 10), np.float32))
    return path


def test_with_data_it_calibrates_on_one_half_and_judges_on_the_other(
    tmp_path: Path, passes: Passes, golden: Any
) -> None:
    model, data = save_model(tmp_path / "models" / "net.onnx"), save_data(tmp_path / "x.npz", 8)
    text = recipe_for_model(open_onnx(model), tmp_path / "net.yaml", data)
    golden("recipe/generated.yaml", text)
    recipe = parse(text, tmp_path / "net.yaml", passes=passes).recipe
    assert recipe.model.source == "./models/net.onnx"
    assert recipe.data.calibration is not None
    assert recipe.data.evaluation is not None
    assert recipe.data.calibration.split == (0.0, 0.5)
    assert recipe.data.evaluation.split == (0.5, 1.0)
    assert [(step.name, step.optional) for step in recipe.passes] == [
        ("simplify", True), ("quantize", True), ("fuse", True),
    ]  # fmt: skip
    assert [gate.metric for gate in recipe.gates] == [*OF_QUALITY, "speedup.median"]
    assert recipe.gates[-1].on_inconclusive == "pass"


@pytest.mark.parametrize("count", [0, 1])
def test_without_two_samples_nothing_is_calibrated(tmp_path: Path, passes: Passes, count: int) -> None:
    model = save_model(tmp_path / "net.onnx")
    data = save_data(tmp_path / "x.npz", count) if count else None
    recipe = parse(
        recipe_for_model(open_onnx(model), tmp_path / "r.yaml", data), tmp_path / "r.yaml", passes=passes
    ).recipe
    assert recipe.data.calibration is None
    assert (recipe.data.evaluation is not None) == bool(count)
    assert [step.name for step in recipe.passes] == ["simplify", "fuse"]


def test_labels_are_used(tmp_path: Path, passes: Passes) -> None:
    model = open_onnx(save_model(tmp_path / "m.onnx", op="Softmax"))
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((8, 10), np.float32), labels=np.arange(8))
    text = recipe_for_model(model, tmp_path / "m.yaml", tmp_path / "x.npz")
    recipe = parse(text, tmp_path / "m.yaml", passes=passes).recipe
    assert recipe.metric.name == "accuracy"
    assert [gate.metric for gate in recipe.gates] == [*OF_QUALITY, "accuracy.drop_pt", "speedup.median"]


@pytest.mark.parametrize("labels", [np.eye(8, 10), np.arange(3, 11), np.array([*"abcdefgh"]), np.full(8, 0.5)])
def test_labels_that_are_no_class_numbers_are_not(tmp_path: Path, labels: np.ndarray[Any, Any]) -> None:
    model = open_onnx(save_model(tmp_path / "m.onnx", op="Softmax"))
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((8, 10), np.float32), labels=labels)
    assert "name: agreement" in recipe_for_model(model, tmp_path / "m.yaml", tmp_path / "x.npz")


def test_a_fixed_batch_is_what_is_measured(tmp_path: Path, passes: Passes) -> None:
    model = open_onnx(save_model(tmp_path / "m.onnx", shape=(8, 10)))
    recipe = parse(recipe_for_model(model, tmp_path / "m.yaml", None), tmp_path / "m.yaml", passes=passes).recipe
    assert recipe.target.batch_size == 8


def test_odd_names_stay_data(tmp_path: Path, passes: Passes) -> None:
    model = save_model(tmp_path / "-no: {x} #1\n'é.onnx")
    recipe = load_source(model, None, passes=passes).recipe
    assert recipe.model.source == "./-no: {x} #1\n'é.onnx"
    assert recipe.name == "no_x_1_"


def test_a_bare_model_is_loaded_with_its_data_and_overrides(
    tmp_path: Path, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = save_model(tmp_path / "models" / "net.onnx"), save_data(tmp_path / "x.npz", 4)
    monkeypatch.chdir(tmp_path)
    loaded = load_source(
        model.relative_to(tmp_path), data.relative_to(tmp_path), passes=passes, overrides=["target.threads=1"]
    )
    assert loaded.base == tmp_path / "models"
    assert loaded.recipe.data.evaluation is not None
    assert loaded.recipe.data.evaluation.source == "../x.npz"
    assert loaded.recipe.target.threads == 1
    assert not (tmp_path / "models" / "net.yaml").exists()


def test_what_is_neither_model_nor_recipe_is_refused(tmp_path: Path, passes: Passes) -> None:
    with pytest.raises(RecipeError, match="there is no such file"):
        load_source(tmp_path / "net.pth", None, passes=passes)
    with pytest.raises(RecipeError, match="--data is only for a bare model"):
        load_source(tmp_path / "recipe.yaml", tmp_path / "x.npz", passes=passes)
    with pytest.raises(ModelError, match="does not exist"):
        load_source(tmp_path / "net.onnx", None, passes=passes)


def test_data_that_does_not_fit_is_refused_before_a_recipe_is_made(tmp_path: Path, passes: Passes) -> None:
    np.savez(tmp_path / "y.npz", y=np.zeros((4, 10), np.float32))
    with pytest.raises(DataError):
        load_source(save_model(tmp_path / "net.onnx"), tmp_path / "y.npz", passes=passes)
