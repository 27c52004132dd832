"""What may stand where a recipe does: a folder with one, a folder of a model, a model's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlopt.core.errors import ModelError, RecipeError
from mlopt.passes.base import Pass
from mlopt.recipe.sources import beside, draft_for, load_source, recipe_in

Passes = dict[str, Pass[Any]]
RECIPE = "apiVersion: mlopt/v1\nname: net\nmodel: {source: './digits.py:build'}\npasses: [export]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "digits.py").write_text("def build(): ...\n")
    return tmp_path


def hugging_face(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))
    (folder / "model.safetensors").touch()
    return folder


@pytest.mark.parametrize("others", [(), ("conda.yaml",), ("a.yml", "b.yaml")])
def test_a_folder_stands_for_the_recipe_in_it(folder: Path, passes: Passes, others: tuple[str, ...]) -> None:
    """Whatever other YAML is there."""
    (folder / "net.yaml").write_text(RECIPE)
    for name in others:
        (folder / name).write_text("channels: [x]\n")
    loaded = load_source(folder, None, passes=passes)
    assert (loaded.path, loaded.recipe.name, loaded.draft) == (folder / "net.yaml", "net", None)


def test_a_recipe_counts_before_the_model_beside_it(folder: Path) -> None:
    (hugging_face(folder) / "net.yaml").write_text(RECIPE)
    assert recipe_in(folder) == folder / "net.yaml"


def test_several_recipes_are_listed(folder: Path) -> None:
    for name in ("b.yaml", "a.yml"):
        (folder / name).write_text(RECIPE)
    with pytest.raises(RecipeError, match="several recipes") as caught:
        recipe_in(folder)
    assert caught.value.problems[0].got == "a.yml, b.yaml"
    assert str(folder / "a.yml") in str(caught.value.problems[0].fix)


def test_one_yaml_that_is_no_recipe_says_what_is_wrong_with_it(folder: Path, passes: Passes) -> None:
    (folder / "net.yaml").write_text("name: net\n")
    with pytest.raises(RecipeError, match="lacks the key 'apiVersion'"):
        load_source(folder, None, passes=passes)


def test_data_beside_a_recipe_is_refused_of_a_folder_too(folder: Path, passes: Passes) -> None:
    (folder / "net.yaml").write_text(RECIPE)
    with pytest.raises(RecipeError, match="--data is only for a bare model"):
        load_source(folder, folder / "x.npz", passes=passes)


def test_a_folder_with_nothing_in_it_names_the_model_that_may_be_meant(folder: Path) -> None:
    with pytest.raises(RecipeError, match="neither a recipe nor a Hugging Face model"):
        recipe_in(folder)
    (folder / "net.onnx").touch()
    with pytest.raises(RecipeError) as caught:
        recipe_in(folder)
    assert caught.value.problems[0].fix == f"name the file: {folder / 'net.onnx'}"


def test_an_artifact_is_no_source(folder: Path) -> None:
    (folder / "mlopt.json").write_text("{}")
    (folder / "recipe.lock.yaml").write_text(RECIPE)
    with pytest.raises(RecipeError, match="this is an artifact"):
        recipe_in(folder)


def test_a_model_folder_that_is_refused_is_so_before_any_process_starts(folder: Path) -> None:
    config = {"model_type": "bert", "auto_map": {"AutoModel": "x.Y"}, "architectures": ["BertModel"]}
    (hugging_face(folder) / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="brings Python of its own"):
        draft_for(folder, None)


def test_a_recipe_stands_beside_its_model(tmp_path: Path) -> None:
    (tmp_path / "bert-v1.5").mkdir()
    assert beside(tmp_path / "bert-v1.5") == tmp_path / "bert-v1.5.yaml"
    assert beside(tmp_path / "net.onnx") == tmp_path / "net.yaml"
