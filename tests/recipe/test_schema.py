"""The recipe as frozen data: rules about one value, said in the words of its author."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from mlopt.core.errors import RecipeError
from mlopt.passes.base import Pass, PassConfig
from mlopt.recipe.json_schema import json_schema
from mlopt.recipe.schema import DeclaredInput, Measure, Metric, ModelSource, Recipe


def test_a_pass_may_not_use_the_key_that_belongs_to_steps(passes: dict[str, Pass[Any]]) -> None:
    class Config(PassConfig):
        optional: int = 0

    with pytest.raises(RecipeError, match="the pass 'fuse' has a key of its own named 'optional'"):
        json_schema({"fuse": replace(passes["fuse"], config=Config)})


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("hf:", "cannot tell what kind of model this is"),
        ("model.bin", "a model in a pickle is never loaded"),
        ("model.h5", "cannot tell what kind of model this is"),
    ],
)
def test_a_source_that_cannot_be_one_is_refused_with_what_could(source: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as error:
        ModelSource(source=source)
    assert "a .onnx file" in error.value.errors()[0]["ctx"]["expected"]


@pytest.mark.parametrize("size", [0, -1, True, 1.0, "", "1a", "a b", None])
def test_a_dimension_is_a_positive_number_or_a_name(size: object) -> None:
    with pytest.raises(ValidationError, match="this is no dimension"):
        DeclaredInput.model_validate({"dtype": "float32", "shape": [size]})
    assert DeclaredInput(dtype="float32", shape=("batch", 3)).shape == ("batch", 3)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "accuracy", "args": {"task": "binary"}}, "takes no args"),
        ({"name": "fidelity", "output": "y"}, "sees every output"),
        ({"name": "accuracy", "output": ("a", "b")}, "looks at one output"),
        ({"name": "agreement", "output": ()}, "looks at one output"),
        ({"name": "acuracy"}, "there is no such metric"),
    ],
)
def test_keys_that_a_metric_does_not_take_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Metric(**fields)
    assert Metric(name="agreement", output=("a", "b")).output == ("a", "b")


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("torch_compiled", "did you mean 'torch_compile'?"),
        ("onnx_fp32", "leave it out: it is measured wherever there is one"),
    ],
)
def test_only_what_is_not_measured_anyhow_can_be_asked_for(passes: dict[str, Pass[Any]], name: str, fix: str) -> None:
    wanted = {"apiVersion": "mlopt/v1", "name": "m", "model": {"source": "m.onnx"}, "passes": []}
    with pytest.raises(ValidationError, match="no such reference to ask for") as error:
        Recipe.model_validate({**wanted, "references": [name]})
    assert error.value.errors()[0]["ctx"]["fix"] == fix
    assert json_schema(passes)["properties"]["references"]["items"]["enum"] == ["torch_compile"]


@pytest.mark.parametrize("dtype", ["bfloat16", "string"])
def test_an_input_that_no_pytorch_model_can_be_given_is_refused(dtype: str) -> None:
    with pytest.raises(ValidationError):
        DeclaredInput.model_validate({"dtype": dtype, "shape": ["batch"]})


def test_a_recipe_holds_finite_numbers_and_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Measure(seconds=float("nan"))
    with pytest.raises(ValidationError, match="frozen"):
        Measure().rounds = 8  # type: ignore[misc]
