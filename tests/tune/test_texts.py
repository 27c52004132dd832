from __future__ import annotations

from pathlib import Path

import tuned_recipe

from mlopt.passes.table import table
from mlopt.recipe.load import load, parse
from mlopt.run.request import Request
from mlopt.tune.texts import recipe_text


def test_the_text_of_a_point_is_a_recipe_that_is_the_point(tmp_path: Path) -> None:
    space = tuned_recipe.space(tmp_path)
    loaded, request = load(tmp_path / "net.yaml", passes=table()), Request(source=tmp_path / "net.yaml")
    point = space.completed({"passes.quantize.scheme": "u8s8", "session.onnxruntime": "spinning: false"})
    text = recipe_text(request, loaded, space, point)
    assert parse(text, tmp_path / "best.yaml", passes=table()).recipe == space.recipe_of(point)
    own = recipe_text(request, loaded, space, None)
    assert parse(own, tmp_path / "best.yaml", passes=table()).recipe == loaded.recipe


def test_what_was_overridden_stays(tmp_path: Path) -> None:
    space = tuned_recipe.space(tmp_path)
    loaded = load(tmp_path / "net.yaml", passes=table())
    request = Request(source=tmp_path / "net.yaml", overrides=("seed=7",))
    assert "seed: 7" in recipe_text(request, loaded, space, space.default)
