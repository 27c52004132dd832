"""What pydantic finds, in the words of a recipe's author, each thing once and in the order of the file."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlopt.core.errors import Problem
from mlopt.recipe.document import Document, Place
from mlopt.recipe.problems import in_file_order, translate


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    threads: int = Field(default=1, ge=1)
    either: int | list[int] = 0


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description="what it is called")
    inner: Inner | None = None


def found(data: dict[str, Any]) -> list[tuple[tuple[str | int, ...], Problem]]:
    with pytest.raises(ValidationError) as error:
        Outer.model_validate(data)
    document = Document(data, {}, {(): Place(1, 1, "r")})
    return list(translate(error.value, document, Outer.model_json_schema()))


def test_a_misspelt_key_is_one_problem_and_not_a_missing_one_besides() -> None:
    ((path, problem),) = found({"nmae": "x"})
    assert path == ("nmae",)
    assert (problem.what, problem.fix) == ("unknown key 'nmae' in the recipe", "did you mean 'name'?")
    assert problem.expected == "name, inner"


def test_a_key_that_is_missing_says_what_it_means() -> None:
    ((path, problem),) = found({"inner": {}})
    assert path == ("name",)
    assert (problem.what, problem.expected) == ("the recipe lacks the key 'name'", "what it is called")


def test_values_are_judged_in_words_of_yaml() -> None:
    problems = {".".join(map(str, path)): problem for path, problem in found({"name": 3, "inner": {"threads": 0}})}
    assert (problems["name"].got, problems["name"].expected) == ("3", "text")
    assert (problems["inner.threads"].what, problems["inner.threads"].expected) == (
        "inner.threads is not valid", "at least 1",
    )  # fmt: skip


def test_the_members_of_a_union_are_not_named() -> None:
    assert {path for path, _ in found({"name": "x", "inner": {"either": "z"}})} == {("inner", "either")}


def test_problems_come_in_the_order_of_the_file_and_once() -> None:
    places = {(): Place(1, 1, "r"), ("a",): Place(7, 4, "r"), ("b",): Place(2, 4, "r")}
    document = Document({}, {("a",): Place(7, 1, "r")}, places)
    key, value = Problem("unknown key 'a'"), Problem("b is not valid")
    listed = in_file_order(document, [(("a",), key), (("b",), value), (("b",), value)])
    assert [(problem.what, problem.where) for problem in listed] == [(value.what, "r:2:4"), (key.what, "r:7:1")]
