from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recipe_example import GOOD

from mlopt.core.errors import ModelError, Problem, RecipeError
from mlopt.core.target import Objective
from mlopt.formats.model import TensorSpec
from mlopt.passes.base import Pass
from mlopt.recipe.load import load, parse

Passes = dict[str, Pass[Any]]
Write = Callable[[str], Path]


def test_a_good_recipe_is_read_as_it_is_meant(write_recipe: Write, passes: Passes, tmp_path: Path) -> None:
    loaded = load(write_recipe(GOOD), passes=passes)
    recipe = loaded.recipe
    assert recipe.model.specs == (TensorSpec("image", "float32", ("batch", 1, 28, 28)),)
    assert [(step.name, step.optional) for step in recipe.passes] == [
        ("export", False), ("simplify", False), ("quantize", True),
    ]  # fmt: skip
    assert recipe.passes[0].config == passes["export"].config(opset=20)
    assert recipe.passes[2].config == passes["quantize"].config(mode="static")
    assert (recipe.objective, recipe.seed, recipe.measure.rounds) == (Objective.LATENCY, 0, 10)
    assert recipe.gates[1].vs == "onnx_fp32"
    assert loaded.base == tmp_path
    assert sorted(loaded.code) == [
        "data.calibration.source", "data.evaluation.source", "model.source", "model.weights",
    ]  # fmt: skip
    assert loaded.code["model.weights"].function == "train"


def test_a_pass_may_occur_twice(write_recipe: Write, passes: Passes) -> None:
    loaded = load(write_recipe(GOOD), passes=passes, overrides=["passes=[export, simplify, fuse, simplify]"])
    assert [step.name for step in loaded.recipe.passes] == ["export", "simplify", "fuse", "simplify"]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("unknown_key", "passes:\n", "pases:\n"),
        ("unknown_key_in_part", "threads: 2", "theads: 2"),
        ("unknown_key_in_pass", "scheme: auto", "schema: auto"),
        ("wrong_type", "threads: 2", "threads: two"),
        ("number_in_quotes", "opset: 20", "opset: '20'"),
        ("out_of_range", "opset: 20", "opset: 99"),
        ("not_true_or_false", "optional: true", "optional: yes"),
        ("unknown_word", "scheme: auto", "scheme: u8s9"),
        ("unknown_pass", "- simplify", "- simplfy"),
        ("step_with_two_names", "- simplify", "- {simplify: , fuse: }"),
        ("pass_config_is_no_mapping", "- simplify", "- simplify: fast"),
        ("missing_key", "name: digits\n", ""),
        ("not_a_list", "passes:\n", "passes: all\nx:\n"),
        ("bad_dimension", "[batch, 1, 28, 28]", "[batch, 0, '28', 2.5]"),
        ("bad_dtype", "float32", "float"),
        ("bad_name", "name: digits", "name: ../digits"),
        ("hf_source", "./digits.py:build", "hf:prajjwal1/bert-tiny"),
        ("unknown_source", "./digits.py:build", "./digits.h5"),
        ("pickle_as_weights", "./digits.py:train", "./digits.pkl"),
        ("name_too_long", "./digits.py:build", f"./{'d' * 300}.py:build"),
        ("missing_source", "./digits.py:build", "./dgits.py:build"),
        ("unknown_metric", "{name: accuracy}", "{name: acuracy}"),
        ("accuracy_without_data", "  evaluation:  {source: ./digits.py:evaluation}\n", ""),
        ("onnx_with_inputs", "./digits.py:build", "./m.onnx"),
        ("duplicate_key", "objective: latency", "name: other"),
        ("tag", "objective: latency", "objective: !!python/name:os.system latency"),
        ("alias", "objective: latency", "objective: *latency"),
        ("merge_key", "objective: latency", "<<: {objective: latency}"),
        ("syntax", "shape: [batch, 1, 28, 28]}}", "shape: [batch, 1, 28, 28}}"),
        ("wrong_version", "mlopt/v1", "mlopt/v2"),
        ("unknown_reference", "vs: onnx_fp32", "vs: onnx_fp16"),
        ("unknown_gate_metric", "accuracy.drop_pt", "accuracy.drop"),
        ("gate_without_limit", ", max: 0.5", ""),
        ("not_finite", "max: 0.5", "max: .inf"),
    ],
)  # fmt: skip
def test_messages(name: str, old: str, new: str, write_recipe: Write, passes: Passes, golden: Any) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(RecipeError) as caught:
        load(write_recipe(GOOD.replace(old, new)), passes=passes)
    golden(f"recipe/{name}.txt", f"{caught.value}\n")


def test_several_problems_come_at_once_in_the_order_of_the_file(
    write_recipe: Write, passes: Passes, golden: Any
) -> None:
    text = (
        GOOD.replace("name: digits", "nam: digits")
        .replace("threads: 2", "threads: 0")
        .replace("limit: 256", "limit: x")
    )
    text = text.replace("simplify", "simplifie").replace("mode: static", "mode: 8").replace("max: 0.5", "mx: 0.5")
    with pytest.raises(RecipeError) as caught:
        load(write_recipe(text), passes=passes, overrides=["metric.name=accurate"])
    golden("recipe/several.txt", f"{caught.value}\n")


def test_missing_and_empty_files(write_recipe: Write, passes: Passes, golden: Any) -> None:
    with pytest.raises(RecipeError) as missing:
        load(Path("nowhere.yaml"), passes=passes)
    golden("recipe/missing_file.txt", f"{missing.value}\n")
    with pytest.raises(RecipeError) as empty:
        load(write_recipe(""), passes=passes)
    golden("recipe/empty_file.txt", f"{empty.value}\n")
    with pytest.raises(RecipeError) as scalar:
        load(write_recipe("just text"), passes=passes)
    golden("recipe/no_mapping.txt", f"{scalar.value}\n")


def test_an_onnx_source_is_never_compared_with_torch(write_recipe: Write, passes: Passes) -> None:
    text = """\
apiVersion: mlopt/v1
name: m
model: {source: m.onnx, weights: digits.safetensors}
passes: [simplify]
gates: [{metric: speedup.median, min: 1, vs: torch_eager}]
"""
    with pytest.raises(RecipeError) as caught:
        load(write_recipe(text), passes=passes)
    assert [problem.where for problem in caught.value.problems] == [
        "recipe.yaml:3:34", "recipe.yaml:3:34", "recipe.yaml:5:46",
    ]  # fmt: skip
    assert "torch_eager" in caught.value.problems[2].what


def test_a_problem_of_the_pipeline_gets_its_place(write_recipe: Write, passes: Passes) -> None:
    loaded = load(write_recipe(GOOD), passes=passes, overrides=["target.device=cuda"])
    where = ["passes.2.quantize", "passes.1.simplify", "target.device", "data.train", "passes", None]
    places = [loaded.located(Problem("x", key)).where for key in where]
    assert places == [
        "recipe.yaml:16:15", "recipe.yaml:15:5", "--set target.device=cuda", "recipe.yaml:8:3",
        "recipe.yaml:14:3", "recipe.yaml:1:1",
    ]  # fmt: skip


def test_code_that_vanished_is_a_model_error(write_recipe: Write, passes: Passes) -> None:
    loaded = load(write_recipe(GOOD), passes=passes)
    Path("digits.py").unlink()
    with pytest.raises(ModelError):
        _ = loaded.code


_VALUES = st.recursive(
    st.sampled_from(["a", "1", "true", "~", "1.5", "''", "export", "quantize", "./m.onnx", "[]", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]")
        | st.tuples(st.sampled_from(["source", "name", "quantize", "scheme", "optional", "shape"]), inner).map(
            lambda pair: f"{{{pair[0]}: {pair[1]}}}"
        )
    ),
    max_leaves=6,
)
_KEYS = [
    "apiVersion",
    "name",
    "model",
    "data",
    "metric",
    "target",
    "objective",
    "passes",
    "gates",
    "measure",
    "seed",
    "x",
]


@pytest.mark.heavy
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(_KEYS), _VALUES))
def test_any_shape_of_data_ends_in_a_recipe_error(tmp_path: Path, passes: Passes, data: dict[str, str]) -> None:
    text = "".join(f"{key}: {value}\n" for key, value in data.items()) or "{}"
    with pytest.raises(RecipeError) as caught:
        parse(text, tmp_path / "recipe.yaml", passes=passes)
    assert all(problem.where for problem in caught.value.problems)
