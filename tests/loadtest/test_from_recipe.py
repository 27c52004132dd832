"""Samples of a recipe as requests: read as a run reads them, with consent, and only if the recipe is of that model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import packed_artifact
import predicted
import pytest

from mlopt.artifact.verify import verify
from mlopt.core.errors import DataError, RecipeError
from mlopt.data.dataset import Samples
from mlopt.formats.model import TensorSpec
from mlopt.loadtest.from_recipe import of_recipe, samples, with_difference

SPECS = (TensorSpec("ids", "int64", ("batch", predicted.TOKENS)), TensorSpec("x", "float32", ("batch",)))
HEAD = "apiVersion: mlopt/v1\nname: words\npasses: [simplify]\n"
FILE = "model: {source: ./words.onnx}\n"
BUILT = """\
model:
  source: ./words.py:build
  inputs: {ids: {dtype: int64, shape: [batch, 3]}, x: {dtype: float32, shape: [batch]}}
"""
CODE = """\
import numpy as np

def build(): raise AssertionError("nobody asked for the model")

def rows():
    print("noise")
    return {"ids": np.full((9, 3), 7), "x": np.arange(9, dtype=np.float32)}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, 30 rows in one file and 10 in another, and Python that gives 9."""
    monkeypatch.chdir(tmp_path)
    predicted.words(tmp_path / "words.onnx")
    np.savez(tmp_path / "thirty.npz", **predicted.rows(30))
    np.savez(tmp_path / "ten.npz", **predicted.rows(10))
    (tmp_path / "words.py").write_text(CODE)
    return tmp_path


def recipe(data: str, model: str = FILE) -> Path:
    path = Path("words.yaml")
    path.write_text(f"{HEAD}{model}data: {data}\n")
    return path


def in_memory() -> Samples:
    return Samples({"x": np.zeros(3, np.float32)})


@pytest.mark.process
@pytest.mark.usefixtures("folder")
def test_what_a_recipe_evaluates_on_is_asked_and_no_more_than_wanted() -> None:
    data = of_recipe(recipe("{calibration: {source: ./ten.npz}, evaluation: {source: ./thirty.npz}}"), allow_code=False)
    assert str(data) == "evaluation data of words.yaml"
    found, rows = samples(data, SPECS, (), 8), predicted.rows(30)
    chosen = found.inputs["x"].astype(int)
    assert len(chosen) == 8
    assert len(set(chosen)) == 8
    assert np.array_equal(found.inputs["ids"], rows["ids"][chosen])
    assert len(samples(data, SPECS, (), 1000).inputs["x"]) == 30


@pytest.mark.process
@pytest.mark.usefixtures("folder")
def test_a_limit_of_the_recipe_holds_and_calibration_stands_in() -> None:
    data = of_recipe(recipe("{calibration: {source: ./thirty.npz, limit: 5}}"), allow_code=False)
    assert str(data) == "calibration data of words.yaml"
    assert len(samples(data, SPECS, (), 8).inputs["x"]) == 5


@pytest.mark.process
@pytest.mark.usefixtures("folder")
def test_python_of_the_recipe_takes_consent_and_runs_elsewhere(capfd: pytest.CaptureFixture[str]) -> None:
    path = recipe("{evaluation: {source: './words.py:rows'}}", BUILT)
    with pytest.raises(RecipeError, match="takes your consent") as caught:
        of_recipe(path, allow_code=False)
    (problem,) = caught.value.problems  # the model's code is not asked for: it does not run
    assert problem.where is not None
    assert problem.where.startswith("words.yaml:")
    assert "--allow-code" in str(problem.fix)
    found = samples(of_recipe(path, allow_code=True), SPECS, (), 4)
    assert found.inputs["ids"].tolist() == [[7, 7, 7]] * 4
    assert "noise" not in capfd.readouterr().out


@pytest.mark.process
@pytest.mark.usefixtures("folder")
def test_data_in_a_file_take_no_consent_whatever_builds_the_model() -> None:
    data = of_recipe(recipe("{evaluation: {source: ./ten.npz}}", BUILT), allow_code=False)
    assert len(samples(data, SPECS, (), 100).inputs["ids"]) == 10


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("specs", [SPECS[:1], (SPECS[0], TensorSpec("x", "float64", ("batch",)))])
def test_a_recipe_that_declares_other_inputs_is_refused_before_anything_is_read(specs: tuple[TensorSpec, ...]) -> None:
    data = of_recipe(recipe("{evaluation: {source: ./ten.npz}}", BUILT), allow_code=False)
    with pytest.raises(RecipeError, match="the recipe is of another model") as caught:
        samples(data, specs, (), 8)
    (problem,) = caught.value.problems
    assert problem.got == "ids (int64), x (float32)"
    assert problem.expected in ("ids (int64)", "ids (int64), x (float64)")


@pytest.mark.process
@pytest.mark.usefixtures("folder")
def test_of_a_recipe_that_declares_none_the_data_show_it() -> None:
    data = of_recipe(recipe("{evaluation: {source: ./ten.npz}}"), allow_code=False)
    with pytest.raises(DataError, match="no array for input 'image'"):
        samples(data, (*SPECS, TensorSpec("image", "float32", ("batch", 2))), (), 8)


@pytest.mark.usefixtures("folder")
def test_a_recipe_without_data_has_nothing_to_ask() -> None:
    with pytest.raises(RecipeError, match="names no data") as caught:
        of_recipe(recipe("{}"), allow_code=True)
    assert "--data" in str(caught.value)


def test_what_the_artifact_was_made_with_is_compared(tmp_path: Path) -> None:
    from mlopt.artifact.signing import keys
    from mlopt.artifact.signing.signers import KeySigner

    made = packed_artifact.pack(tmp_path, KeySigner(keys.user_key().private)).path
    verified, read = verify(made), in_memory()
    elsewhere = tmp_path / "digits.yaml"
    elsewhere.write_text(packed_artifact.RECIPE.replace("FOLDER/", "./"))
    assert with_difference(read, of_recipe(elsewhere, allow_code=False), verified) == read
    elsewhere.write_text(
        packed_artifact.RECIPE.replace("FOLDER/", "./").replace("digits.npz}", "digits.npz, limit: 9}")
    )
    (note,) = with_difference(read, of_recipe(elsewhere, allow_code=False), verified).notes
    assert "says something else of its evaluation data" in note


def test_an_artifact_that_holds_no_recipe_is_not_compared(folder: Path) -> None:
    artifact, read = predicted.artifact(folder / "words"), in_memory()
    data = of_recipe(recipe("{evaluation: {source: ./ten.npz}}"), allow_code=False)
    assert with_difference(read, data, verify(artifact)) is read
