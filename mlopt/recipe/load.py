"""Loading a recipe: read, override, check; every problem at once, each with its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlopt.core.errors import Problem, RecipeError
from mlopt.core.usercode import CodeReference
from mlopt.passes.base import Pass
from mlopt.recipe import overrides as overriding
from mlopt.recipe import rules
from mlopt.recipe.document import Document, KeyPath, shorten
from mlopt.recipe.json_schema import json_schema
from mlopt.recipe.problems import in_file_order, translate
from mlopt.recipe.schema import Recipe
from mlopt.recipe.yaml_reader import read_bytes, read_text


@dataclass(frozen=True)
class Loaded:
    """A checked recipe and what it was read from."""

    recipe: Recipe
    path: Path
    """The file; relative paths in the recipe start from its folder."""
    text: str
    document: Document
    """The data with the overrides applied."""
    draft: Callable[[Path], str] | None = None
    """Of a recipe that was made for a model, its text as it is to be written to a path; None of one that was read."""

    @property
    def base(self) -> Path:
        """The folder of the recipe."""
        return self.path.resolve().parent

    @property
    def text_digest(self) -> str:
        """The SHA-256 of the text as written, overrides not included."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def code(self) -> dict[str, CodeReference]:
        """The Python that running the recipe would run, by the key that names it, such as ``model.source``."""
        return rules.code_references(self.recipe, self.base)

    def located(self, problem: Problem) -> Problem:
        """Return a problem whose ``where`` is a key, such as ``passes.0.export``, with the key's place instead."""
        path: KeyPath = tuple(int(part) if part.isdecimal() else part for part in (problem.where or "").split("."))
        return replace(problem, where=str(self.document.value_place(path)))


def load(path: Path, *, passes: Mapping[str, Pass[Any]], overrides: Sequence[str] = ()) -> Loaded:
    """Load the recipe at ``path``; ``passes`` are those that its steps may name.

    Raises ``RecipeError`` with all problems of the recipe and its ``overrides`` (``KEY=VALUE``, see ``--set``).
    """
    return parse(read_bytes(path), path, passes=passes, overrides=overrides)


def parse(text: bytes | str, path: Path, *, passes: Mapping[str, Pass[Any]], overrides: Sequence[str] = ()) -> Loaded:
    """Load a recipe that is in memory, as if it stood at ``path``."""
    document = read_text(text, str(path))
    if not isinstance(document.data, dict):
        raise RecipeError(
            "the recipe is no mapping", where=str(path), got=shorten(document.data), expected="key: value"
        )
    document = overriding.apply(document, overrides)
    document.data.pop("lock", None)  # what recipe.lock.yaml adds: such a file is a recipe too
    try:
        recipe = Recipe.model_validate_json(json.dumps(document.data), strict=True, context={"passes": passes})
        located = list(rules.check(recipe, path.resolve().parent))
    except ValidationError as error:
        located = list(translate(error, document, json_schema(passes)))
    if located:
        raise RecipeError.of(in_file_order(document, located))
    return Loaded(recipe, path, text if isinstance(text, str) else text.decode(), document)
