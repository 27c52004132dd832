"""Pydantic's findings in the words of a recipe's author: where, what, got, expected, fix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mlopt.core.errors import Problem
from mlopt.recipe.document import Document, KeyPath, closest, did_you_mean, dotted, shorten
from mlopt.recipe.schema_lookup import Schema, choices_at, description_at, keys_at

Located = tuple[KeyPath, Problem]

# What pydantic's "type" means, for the types whose own words are about Python.
_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping (key: value)",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_attributes_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "string_type": "text",
    "tuple_type": "a list",
}
_COMPARISONS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_pattern_mismatch": "text that matches {pattern}",
}


def in_file_order(document: Document, located: Iterable[Located]) -> list[Problem]:
    """Give each problem its place, drop repetitions and sort by line."""
    placed = {}
    for path, problem in located:
        is_key = problem.what.startswith("unknown key")
        place = document.key_place(path) if is_key else document.value_place(path)
        placed[replace(problem, where=str(place))] = place
    return sorted(placed, key=placed.__getitem__)


def translate(error: ValidationError, document: Document, schema: Schema) -> Iterator[Located]:
    """Yield each of pydantic's errors with the path, in the recipe as written, that it is about.

    A key that is missing because it is misspelt is one problem, not two.
    """
    found = [(_path(details["loc"], document.data), details) for details in error.errors(include_url=False)]
    located = [(path, details, _problem(details, path, schema)) for path, details in found]
    hints = {(path[:-1], problem.fix) for path, details, problem in located if details["type"] == "extra_forbidden"}
    for path, details, problem in located:
        if details["type"] != "missing" or (path[:-1], did_you_mean(str(path[-1]))) not in hints:
            yield path, problem


def _path(loc: tuple[int | str, ...], data: Any) -> KeyPath:
    """Return ``loc`` as the recipe is written: a step's name put in, pydantic's names of union members left out."""
    path: list[int | str] = []
    for depth, part in enumerate(loc):
        if depth == 2 and path[0] == "passes" and isinstance(data, dict):
            name = next(iter(data))
            path.append(name)
            data = data[name]
        inside = part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        if inside:
            data = data[part]
            path.append(part)
        elif depth == len(loc) - 1 and isinstance(data, dict):
            path.append(part)  # a key that is missing
    return tuple(path)


def _problem(details: ErrorDetails, path: KeyPath, schema: Schema) -> Problem:
    match details["type"]:
        case "extra_forbidden" | "missing" | "unknown_pass":
            return _name_problem(details, path, schema)
        case _:
            return _value_problem(details, path, schema)


def _name_problem(details: ErrorDetails, path: KeyPath, schema: Schema) -> Problem:
    """Describe a key or a pass that should not be there, or should."""
    context, parent = details.get("ctx", {}), dotted(path[:-1]) or "the recipe"
    if details["type"] == "missing":
        what = f"{parent} lacks the key {str(path[-1])!r}"
        return Problem(what, expected=description_at(schema, path), fix="add it")
    if details["type"] == "unknown_pass":
        name, known, what = context["name"], sorted(context["known"]), "unknown pass"
    else:
        name, known, what = str(path[-1]), keys_at(schema, path[:-1]), "unknown key"
    inside = f" in {parent}" if what == "unknown key" else ""
    fix = closest(name, known)
    return Problem(f"{what} {shorten(name)}{inside}", expected=", ".join(known), fix=fix)


def _value_problem(details: ErrorDetails, path: KeyPath, schema: Schema) -> Problem:
    """Describe a value of the wrong type or outside its range."""
    kind, context = details["type"], details.get("ctx", {})
    got, name = shorten(details["input"]), dotted(path) or "the recipe"
    if kind == "mlopt":
        return Problem(f"{name}: {context['what']}", got=got, expected=context["expected"], fix=context["fix"])
    if kind == "value_error":
        return Problem(f"{name}: {context['error']}", got=got)
    what = f"{name} is not valid"
    if kind in ("literal_error", "enum"):
        choices = choices_at(schema, path)
        fix = closest(str(details["input"]), choices)
        return Problem(what, got=got, expected=", ".join(choices) or str(context.get("expected")), fix=fix)
    expected = _EXPECTED.get(kind) or _COMPARISONS.get(kind, "").format(**context)
    return Problem(what, got=got, expected=expected or details["msg"].removeprefix("Input should be "))
