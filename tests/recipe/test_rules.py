from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recipe_example import GOOD

from mlopt.core.errors import RecipeError
from mlopt.passes.base import Pass
from mlopt.recipe.load import parse


def test_every_rule_finds_its_own_place(tmp_path: Path, passes: dict[str, Pass[Any]]) -> None:
    (tmp_path / "digits.py").write_text("")
    loaded = parse(GOOD, tmp_path / "recipe.yaml", passes=passes)
    (tmp_path / "digits.py").unlink()
    from mlopt.recipe.rules import check

    found = [path for path, _ in check(loaded.recipe, tmp_path)]
    assert found == [
        ("model", "source"), ("model", "weights"), ("data", "calibration", "source"), ("data", "evaluation", "source"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("vs", "said"),
    [
        ("torch_eager", None),
        ("fastest_source", None),
        ("torch_compile", "add `references: [torch_compile]`"),
        ("./stored/report.json", None),
        ("./stored", None),
        ("./none.json", "the stored report does not exist"),
        ("baseline", "vs: ./baselines/main.json"),
        ("onnx_fp33", "did you mean 'onnx_fp32'?"),
    ],
)
def test_a_gate_compares_with_a_reference_or_a_stored_report(
    tmp_path: Path, passes: dict[str, Pass[Any]], vs: str, said: str | None
) -> None:
    (tmp_path / "digits.py").write_text("")
    (tmp_path / "stored").mkdir()
    (tmp_path / "stored" / "report.json").write_text("{}")
    text = GOOD.replace("vs: onnx_fp32", f"vs: {vs}")
    if said is None:
        assert parse(text, tmp_path / "recipe.yaml", passes=passes).recipe.gates[1].vs == vs
        return
    with pytest.raises(RecipeError) as error:
        parse(text, tmp_path / "recipe.yaml", passes=passes)
    assert said in str(error.value)


def test_a_reference_that_is_asked_for_may_be_compared_with(tmp_path: Path, passes: dict[str, Pass[Any]]) -> None:
    (tmp_path / "digits.py").write_text("")
    text = f"{GOOD.replace('vs: onnx_fp32', 'vs: torch_compile')}references: [torch_compile]\n"
    recipe = parse(text, tmp_path / "recipe.yaml", passes=passes).recipe
    assert (recipe.references, recipe.gates[1].vs) == (("torch_compile",), "torch_compile")
    with pytest.raises(RecipeError, match="named twice") as error:
        parse(text.replace("[torch_compile]", "[torch_compile, torch_compile]"), tmp_path / "r.yaml", passes=passes)
    assert str(error.value.problems[0].where).endswith("r.yaml:20:29")


def test_what_is_no_pytorch_has_no_compiled_reference(tmp_path: Path, passes: dict[str, Pass[Any]]) -> None:
    (tmp_path / "m.onnx").write_bytes(b"onnx")
    text = (
        "apiVersion: mlopt/v1\nname: m\nmodel: {source: m.onnx}\npasses: []\nreferences: [torch_compile]\n"
        "gates: [{metric: speedup.median, min: 1, vs: torch_compile}]\n"
    )
    with pytest.raises(RecipeError, match="an ONNX model is never run by PyTorch") as error:
        parse(text, tmp_path / "r.yaml", passes=passes)
    (problem,) = error.value.problems
    assert str(problem.where).endswith("r.yaml:5:14")
    assert problem.fix == "remove it from `references`"


def test_a_torchmetrics_metric_needs_evaluation_data(tmp_path: Path, passes: dict[str, Pass[Any]]) -> None:
    (tmp_path / "digits.py").write_text("")
    kept = [line for line in GOOD.splitlines() if not line.lstrip().startswith("evaluation:")]
    metric = "metric: {name: torchmetrics.F1Score, args: {task: multiclass, num_classes: 10}}"
    text = "\n".join(metric if line.startswith("metric:") else line for line in kept) + "\n"
    with pytest.raises(RecipeError, match="needs data to be evaluated on"):
        parse(text, tmp_path / "recipe.yaml", passes=passes)


@pytest.mark.parametrize(
    ("model", "data", "said"),
    [
        ("source: ./net.py:build, weights: ./net.py:fit", "train: {source: ./x.npz}", "both say where the weights"),
        ("source: ./net.py:build", "evaluation: {source: ./x.npz}", "model.train needs data to train on"),
        ("source: ./net.onnx", "train: {source: ./x.npz}", "this is a model file"),
        ("source: ./net.pt2", "train: {source: ./x.npz}", "this is a model file"),
    ],
)
def test_what_speaks_against_training_the_source_is_told_at_its_line(
    tmp_path: Path, passes: dict[str, Pass[Any]], model: str, data: str, said: str
) -> None:
    for name in ("net.py", "net.onnx", "net.pt2", "x.npz"):
        (tmp_path / name).touch()
    text = (
        f"apiVersion: mlopt/v1\nname: net\ndata: {{{data}}}\npasses: [simplify]\nmodel: {{{model},\n"
        "  inputs: {x: {dtype: float32, shape: [batch, 4]}},\n  train: {epochs: 3}}\n"
    )
    if "build" not in model:
        text = text.replace("  inputs: {x: {dtype: float32, shape: [batch, 4]}},\n", "\n")
    with pytest.raises(RecipeError, match=said) as caught:
        parse(text, tmp_path / "net.yaml", passes=passes)
    (problem,) = caught.value.problems
    assert str(problem.where).endswith("net.yaml:7:10")
    assert problem.fix


def test_what_is_trained_says_what_it_takes_and_which_files_it_names(
    tmp_path: Path, passes: dict[str, Pass[Any]]
) -> None:
    (tmp_path / "net.py").touch()
    text = (
        "apiVersion: mlopt/v1\nname: net\ndata: {train: {source: ./net.py:data}}\npasses: [simplify]\n"
        "model: {source: ./net.py:build, train: {step: ./gone.py:step}}\n"
    )
    with pytest.raises(RecipeError) as caught:
        parse(text, tmp_path / "net.yaml", passes=passes)
    said = [problem.what for problem in caught.value.problems]
    assert sorted(said) == ["the file does not exist", "what mlopt trains does not say what it takes"]
