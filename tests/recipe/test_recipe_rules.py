from __future__ import annotations

from pathlib import Path
from typing import Any

from recipe_example import GOOD

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
