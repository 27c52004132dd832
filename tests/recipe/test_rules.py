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


def test_a_torchmetrics_metric_needs_evaluation_data(tmp_path: Path, passes: dict[str, Pass[Any]]) -> None:
    (tmp_path / "digits.py").write_text("")
    kept = [line for line in GOOD.splitlines() if not line.lstrip().startswith("evaluation:")]
    metric = "metric: {name: torchmetrics.F1Score, args: {task: multiclass, num_classes: 10}}"
    text = "\n".join(metric if line.startswith("metric:") else line for line in kept) + "\n"
    with pytest.raises(RecipeError, match="needs data to be evaluated on"):
        parse(text, tmp_path / "recipe.yaml", passes=passes)
