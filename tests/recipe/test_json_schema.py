from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from recipe_example import GOOD

from mlopt.passes.base import Pass
from mlopt.recipe.json_schema import json_schema
from mlopt.recipe.yaml_reader import read_file, read_text

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def test_it_is_a_schema_and_accepts_a_good_recipe(passes: dict[str, Pass[Any]]) -> None:
    schema = json_schema(passes)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(read_text(GOOD, "x").data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("passes:\n", "pases:\n"),
        ("scheme: auto", "schema: auto"),
        ("scheme: auto", "scheme: u8s9"),
        ("- simplify", "- simplfy"),
        ("- simplify", "- {simplify: , fuse: }"),
        ("[batch, 1, 28, 28]", "[batch, 0]"),
        ("threads: 2", "threads: two"),
        ("mlopt/v1", "mlopt/v2"),
    ],
)
def test_it_refuses_what_loading_refuses(passes: dict[str, Pass[Any]], old: str, new: str) -> None:
    data = read_text(GOOD.replace(old, new), "x").data
    with pytest.raises(ValidationError):
        Draft202012Validator(json_schema(passes)).validate(data)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_accepts_the_recipes_of_this_project(path: Path) -> None:
    from mlopt.passes.table import table

    Draft202012Validator(json_schema(table())).validate(read_file(path).data)
