"""What steps would fix, held against source and data before any pass runs: each fault with its place in the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from branching import voice_samples, written
from pass_runs import dataset

from mlopt.core.errors import RecipeError
from mlopt.data.dataset import Array, Dataset
from mlopt.formats.model import Model, TensorSpec
from mlopt.passes.table import table
from mlopt.recipe.load import Loaded, parse
from mlopt.run import declared

RECIPE = """\
apiVersion: mlopt/v1
name: voice
model: {source: voice.onnx}
target: {threads: 1, batch_size: 1}
passes:
  - simplify
  - specialize:
      dims: {batch: 1, time: 6}
      inputs: {rate: 16000, loud: true}
"""


def loaded(tmp_path: Path, text: str = RECIPE) -> tuple[Loaded, Model]:
    source = written(tmp_path / "voice.onnx")
    return parse(text, tmp_path / "r.yaml", passes=table()), source


def samples(tmp_path: Path, changes: Mapping[str, Array] | None = None) -> Dataset:
    made = dataset({**voice_samples(), **(changes or {})}, tmp_path)
    assert made is not None
    return made


def told(tmp_path: Path, text: str, data: Mapping[str, Dataset] | None = None) -> str:
    recipe, source = loaded(tmp_path, text)
    if data is not None:
        with pytest.raises(RecipeError) as caught:
            declared.check_data(recipe, source, data)
        return str(caught.value)
    return "\n".join(str(recipe.located(problem)) for problem in declared.foreseen(recipe))


def test_a_recipe_that_fits_has_nothing_against_it(tmp_path: Path) -> None:
    recipe, source = loaded(tmp_path)
    assert list(declared.foreseen(recipe)) == []
    declared.check_data(recipe, source, {"evaluation": samples(tmp_path), "calibration": samples(tmp_path)})


@pytest.mark.parametrize(
    ("change", "place", "what"),
    [
        (("batch: 1,", "bacth: 1,"), "r.yaml:8:21", "did you mean 'batch'?"),
        (("time: 6", "time: 6, state_0: 1"), "r.yaml:8:42", "'state_0' is fixed already"),
        (("rate: 16000", "rate: 1.5"), "r.yaml:9:22", "input 'rate' cannot be fixed at this"),
        (("loud", "lound"), "r.yaml:9:36", "did you mean 'loud'?"),
    ],
)
def test_a_name_that_the_file_does_not_have_is_found_where_it_stands(
    change: tuple[str, str], place: str, what: str, tmp_path: Path
) -> None:
    found = told(tmp_path, RECIPE.replace(*change))
    assert f"{place}: " in found
    assert what in found


def test_declared_inputs_are_known_without_a_file(tmp_path: Path) -> None:
    text = RECIPE.replace(
        "{source: voice.onnx}", "{source: net.py:build, inputs: {x: {dtype: float32, shape: [n, 3]}}}"
    )
    (tmp_path / "net.py").write_text("def build(): ...\n")
    found = told(tmp_path, text)
    assert "the model has no size 'batch'" in found
    assert "the model has no input 'rate'" in found


def test_a_second_step_gets_what_the_first_leaves(tmp_path: Path) -> None:
    again = RECIPE + "  - specialize: {dims: {batch: 2}}\n"
    assert "'batch' is fixed already" in told(tmp_path, again)
    assert told(tmp_path, RECIPE + "  - specialize: {dims: {batch: 1}}\n") == ""


def test_samples_of_another_value_are_named_with_the_key(tmp_path: Path) -> None:
    rates = np.full(8, 16000)
    rates[5] = 8000
    found = told(tmp_path, RECIPE, {"evaluation": samples(tmp_path), "calibration": samples(tmp_path, {"rate": rates})})
    assert "r.yaml:9:22: calibration: a sample has another value than input 'rate' is fixed at" in found
    assert "sample 5: 8000 instead of 16000" in found
    assert "evaluation" not in found


def test_samples_of_another_size_are_named_with_the_key(tmp_path: Path) -> None:
    longer = {"x": np.zeros((8, 1, 7), np.float32)}
    found = told(tmp_path, RECIPE, {"evaluation": samples(tmp_path, longer)})
    assert "r.yaml:8:30: the evaluation data has another size than 'time' is fixed at" in found
    assert "7 in axis 1 of input 'x', in sample 0 as in all" in found


ROWS = "g (float[batch, time] x, float[batch] k) => (float[batch, time] y) { y = Neg(x) }"


def test_a_batch_that_is_not_the_targets_is_told_with_both(tmp_path: Path) -> None:
    rows = {"x": np.zeros((8, 6), np.float32), "k": np.zeros(8, np.float32)}
    text = RECIPE.replace("batch: 1,", "batch: 4,").replace("{rate: 16000, loud: true}", "{k: 0}")
    recipe, _ = loaded(tmp_path, text)
    source, data = written(tmp_path / "rows.onnx", ROWS), dataset(rows, tmp_path)
    assert data is not None
    with pytest.raises(RecipeError) as caught:
        declared.check_data(recipe, source, {"evaluation": data, "calibration": data})
    assert len(caught.value.problems) == 1
    assert "'batch' is fixed at another batch than the target's" in str(caught.value)
    assert "4 (batch_size: 1)" in str(caught.value)
    other, _ = loaded(tmp_path, text.replace("batch_size: 1", "batch_size: 4"))
    declared.check_data(other, source, {"evaluation": data})


def test_what_the_steps_leave_of_the_inputs_is_known(tmp_path: Path) -> None:
    recipe, source = loaded(tmp_path)
    assert declared.fixed_inputs(recipe.recipe, source.inputs)[2] == TensorSpec("rate", "int64", (), 16000)
    plain, _ = loaded(tmp_path, RECIPE.partition("  - specialize")[0])
    assert declared.fixed_inputs(plain.recipe, source.inputs) == ()
