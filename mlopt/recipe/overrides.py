"""``--set passes.quantize.scheme=u8s8``: changes to a recipe's data before it is checked.

A key that does not exist is not refused here: it is put in, and the check of the whole recipe names it as unknown,
with the option as its place. Only what has no place to be put is an error here. ``KEY?=VALUE`` changes nothing where
the recipe itself says the key.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mlopt.core.errors import Problem, RecipeError
from mlopt.recipe.document import Document, KeyPath, Place, closest, dotted, shorten
from mlopt.recipe.yaml_reader import read_text


def apply(document: Document, overrides: Sequence[str]) -> Document:
    """Return the document with every ``KEY=VALUE`` applied, in order; raises ``RecipeError`` with all that fail."""
    problems: list[Problem] = []
    for override in overrides:
        try:
            document = _apply(document, override)
        except RecipeError as error:
            problems.extend(replace(problem, where=f"--set {override}") for problem in error.problems)
    if problems:
        raise RecipeError.of(problems)
    return document


def _apply(document: Document, override: str) -> Document:
    key, equals, text = override.partition("=")
    parts = key.split(".")
    if key.endswith("?") and equals:
        parts = key[:-1].split(".")
        if all(parts) and _with_step_name(copy.deepcopy(document.data), parts) in document.keys:
            return document
    if not equals or not all(parts):
        raise RecipeError("this is no override", expected="KEY=VALUE, such as passes.quantize.scheme=u8s8")
    value = read_text(text, "VALUE").data if text.strip() else None
    data = copy.deepcopy(document.data)
    path = _put(data, _with_step_name(data, parts), value)
    place = Place(0, 0, f"--set {override}")
    kept = {at: where for at, where in document.values.items() if at[: len(path)] != path}
    made = {path[:depth]: place for depth in range(1, len(path)) if path[:depth] not in kept}
    return Document(data, {**made, **document.keys, path: place}, {**made, **kept, path: place})


def _with_step_name(data: dict[str, Any], parts: list[str]) -> KeyPath:
    """Turn ``passes.quantize`` or ``passes.2`` into the path in the data, ``passes.2.quantize``."""
    steps = data.get("passes")
    if parts[0] != "passes" or len(parts) == 1 or not isinstance(steps, list):
        return tuple(parts)
    wanted, rest = parts[1], parts[2:]
    index = _index(steps, wanted) if wanted.isdecimal() else _named(steps, wanted)
    if wanted.isdecimal() and not rest:
        return "passes", index
    step = steps[index] if isinstance(steps[index], dict) else {steps[index]: None}
    steps[index] = step
    return "passes", index, *list(step)[:1], *rest


def _named(steps: list[Any], wanted: str) -> int:
    names = [next(iter(step), None) if isinstance(step, dict) else step for step in steps]
    found = [index for index, name in enumerate(names) if name == wanted]
    known = [name for name in names if isinstance(name, str)]
    if not found:
        raise RecipeError(f"no step is named {wanted!r}", expected=", ".join(known), fix=closest(wanted, known))
    if len(found) > 1:
        expected = " or ".join(f"passes.{index}" for index in found)
        raise RecipeError(f"{len(found)} steps are named {wanted!r}", expected=expected, fix="say which, by its number")
    return found[0]


def _index(items: list[Any], part: str) -> int:
    if not part.isdecimal() or len(part) > 9 or int(part) >= len(items):
        raise RecipeError("there is no such item", got=shorten(part), expected=f"a number below {len(items)}")
    return int(part)


def _put(data: Any, path: KeyPath, value: Any) -> KeyPath:
    """Set ``value`` inside ``data``, making mappings on the way, and return the path at which it stands."""
    holder: Any = data
    done: KeyPath = ()
    for depth, part in enumerate(path):
        if not isinstance(holder, dict | list):
            raise RecipeError(f"{dotted(done)} has no keys to set", got=shorten(holder))
        key: Any = _index(holder, str(part)) if isinstance(holder, list) else part
        done = (*done, key)
        if depth == len(path) - 1:
            holder[key] = value
        elif isinstance(holder, dict) and holder.get(key) is None:
            holder[key] = {}
        holder = holder[key]
    return done
