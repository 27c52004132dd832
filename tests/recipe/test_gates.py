"""The gates that a recipe is held to: those that it does not state, and those that no run could answer."""

from __future__ import annotations

import pytest
from campaign_parts import recipe

from mlopt.core.errors import RecipeError
from mlopt.recipe.gates import check_answerable, gates
from mlopt.results.roles import BASELINE, COMPILED, SOURCE


def test_a_drop_against_what_the_run_has_not_is_refused_before_any_work() -> None:
    limit = {"metric": "accuracy.drop_pt", "max": 1}
    check_answerable(recipe((limit | {"vs": "torch_eager"},)), SOURCE, ())
    check_answerable(recipe((limit | {"vs": "old/report.json"},)), SOURCE, ("old/report.json",))
    with pytest.raises(RecipeError, match="compares with 'onnx_fp32', which this run has not"):
        check_answerable(recipe((limit | {"vs": "onnx_fp32"},)), SOURCE, ())


def test_a_gate_on_a_server_under_load_is_refused_before_any_work() -> None:
    with pytest.raises(RecipeError, match="about a server under load") as caught:
        check_answerable(recipe(({"metric": "serving.p99_ms", "max": 100},)), SOURCE, ())
    assert "mlopt loadtest" in str(caught.value)


def test_pytorch_is_no_reference_of_a_source_that_came_as_onnx() -> None:
    faster = recipe(({"metric": "speedup.median", "min": 1, "vs": "torch_eager"},))
    check_answerable(faster, SOURCE, ())
    with pytest.raises(RecipeError, match="compares with 'torch_eager', which this run has not"):
        check_answerable(faster, BASELINE, ())


def test_nothing_is_compiled_of_a_source_that_came_as_onnx() -> None:
    asked = recipe().model_copy(update={"references": (COMPILED,)})
    check_answerable(asked, SOURCE, ())
    with pytest.raises(RecipeError, match="never run by PyTorch has no such reference"):
        check_answerable(asked, BASELINE, ())


def test_not_slower_than_the_baseline_goes_without_saying_until_it_is_said() -> None:
    assert [(each.metric, each.min, each.on_inconclusive) for each in gates(recipe())] == [
        ("speedup.median", 1.0, "pass")
    ]
    stated = {"metric": "speedup.median", "min": 1.2, "vs": "onnx_fp32"}
    assert [each.min for each in gates(recipe((stated,)))] == [1.2]
