from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlopt.core.errors import ModelError, RecipeError
from mlopt.run.request import Request
from mlopt.tune.asked import Asked
from mlopt.tune.sweep import recipes, sweep


def test_one_that_fails_takes_nothing_from_the_others(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.yaml").touch()
    paths = recipes(str(tmp_path / "*.yaml"))
    assert [path.stem for path in paths] == ["a", "b", "c"]
    seen: list[Any] = []

    def tune(asked: Asked) -> Any:
        seen.append(asked)
        if asked.request.source.stem == "b":
            raise ModelError("it is no model", got="nothing")
        report = SimpleNamespace(verdict="pass", speedup=SimpleNamespace(median=2.0, ci95=(1.9, 2.1), vs="onnx_fp32"))
        return SimpleNamespace(artifact=SimpleNamespace(exit_code=0, path=Path("x"), report=report), folder=Path("y"))

    asked = Asked(Request(source=Path(), output=Path("one")), folder=Path("other"), budget=60.0)
    found = list(sweep(asked, paths, tune))
    assert [each.exit_code for each in found] == [0, 2, 0]
    assert found[1].told == "it is no model: nothing"
    assert found[0].told == "pass, 2.00x (1.90 to 2.10) against onnx_fp32: x"
    assert all(each.request.output is None and each.folder is None and each.budget == 60.0 for each in seen)


def test_a_pattern_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no recipe is of this pattern"):
        recipes(str(tmp_path / "*.yaml"))
