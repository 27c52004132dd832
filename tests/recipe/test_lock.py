from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from recipe_example import GOOD

from mlopt import __version__
from mlopt.passes.base import Pass
from mlopt.recipe import load
from mlopt.recipe.load import parse
from mlopt.recipe.lock import lock
from mlopt.recipe.yaml_reader import read_text


def test_a_lock_holds_everything_and_runs_as_the_same_recipe(
    write_recipe: Callable[[str], Path], passes: dict[str, Pass[Any]]
) -> None:
    loaded = load(write_recipe(GOOD), passes=passes, overrides=["target.threads=3"])
    text = lock(loaded, {"model.source": "ab" * 32, "data.evaluation": "cd" * 32}, {"onnx": "1.23.2", "numpy": "2.3"})
    data = read_text(text, "recipe.lock.yaml").data
    assert data["lock"] == {
        "mlopt": __version__,
        "recipe": loaded.text_digest,
        "sources": {"data.evaluation": "cd" * 32, "model.source": "ab" * 32},
        "packages": {"numpy": "2.3", "onnx": "1.23.2"},
    }
    assert data["target"]["threads"] == 3
    assert data["passes"][2] == {
        "quantize": {"mode": "static", "scheme": "auto", "exclude": [], "reduce_range": None, "optional": True}
    }
    assert data["seed"] == 0
    again = parse(text, Path("recipe.lock.yaml"), passes=passes)
    assert again.recipe == loaded.recipe


def test_the_same_recipe_gives_the_same_lock(
    write_recipe: Callable[[str], Path], passes: dict[str, Pass[Any]], golden: Any
) -> None:
    path = write_recipe("apiVersion: mlopt/v1\nname: m\nmodel: {source: ./m.onnx}\npasses: [simplify, quantize]\n")
    first, second = (lock(load(path, passes=passes), {"model.source": "ab" * 32}, {"onnx": "1.23.2"}) for _ in range(2))
    assert first == second
    golden("recipe/recipe.lock.yaml", first.replace(f"mlopt: {__version__}", "mlopt: VERSION"))
