"""One key of one step put into a recipe's text, with everything else left as it was written, comments included."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from mlopt.core.errors import RecipeError
from mlopt.recipe.yaml_reader import read_text
from mlopt.recipe.yaml_writer import dump

KEY = "exclude"


@dataclass(frozen=True)
class Edited:
    """A recipe with the change."""

    text: str
    step: str
    """The changed step alone, as it stands in the text."""
    whole: bool
    """Whether the rest is as it was written; else the recipe was written anew, and its comments are lost."""


def with_exclusion(text: str, number: int, patterns: Sequence[str]) -> Edited:
    """Add ``patterns`` to the key ``exclude`` of the step ``number`` (from 0) of a recipe that is known to be valid.

    The text is changed where the key is, or belongs; that this gives the wanted data, and no other, is checked.
    """
    wanted = copy.deepcopy(read_text(text, "recipe").data)
    step = wanted["passes"][number]
    name, body = next(iter(step.items())) if isinstance(step, dict) else (step, None)
    excluded = [*(body or {}).get(KEY, ()), *patterns]
    wanted["passes"][number] = {name: {**(body or {}), KEY: excluded}}
    edited = _edited(text, number, f"{KEY}: {_flow(excluded)}")
    whole = _reads_as(edited, wanted)
    result = edited if whole else dump(wanted)
    return Edited(result, _item(result, number), whole)


def _edited(text: str, number: int, entry: str) -> str:
    """Return the text with ``entry`` (``exclude: [...]``) in the step; where the style is unusual, this may fail."""
    steps = _steps(text)
    step = steps.value[number]
    if isinstance(step, yaml.ScalarNode):
        body = f"{text[step.start_mark.index : step.end_mark.index]}: {{{entry}}}"
        return _replaced(text, step, f"{{{body}}}" if steps.flow_style else body)
    ((_, body_node),) = step.value
    if isinstance(body_node, yaml.ScalarNode):  # nothing, or null
        space = "" if body_node.value else " "
        return _replaced(text, body_node, f"{space}{{{entry}}}")
    for key, value in body_node.value:
        if key.value == KEY:
            return text[: key.start_mark.index] + entry + text[_end(value) :]
    if not body_node.value:
        return _replaced(text, body_node, f"{{{entry}}}")
    end = _end(body_node.value[-1][1])
    if body_node.flow_style:
        return f"{text[:end]}, {entry}{text[end:]}"
    line = text.find("\n", end)
    line = len(text) if line < 0 else line
    return f"{text[:line]}\n{' ' * body_node.start_mark.column}{entry}{text[line:]}"


def _item(text: str, number: int) -> str:
    steps = _steps(text)
    step = steps.value[number]
    indent = 0 if steps.flow_style else step.start_mark.column - 2
    return f"{' ' * indent}- {text[step.start_mark.index : _end(step)]}"


def _steps(text: str) -> Any:
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    return next(value for key, value in root.value if key.value == "passes")


def _replaced(text: str, node: yaml.Node, new: str) -> str:
    return text[: node.start_mark.index] + new + text[node.end_mark.index :]


def _end(node: Any) -> int:
    """Return where a value ends: a block's own end mark lies behind the comments that follow it."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last if isinstance(node, yaml.SequenceNode) else last[1])


def _flow(names: Sequence[str]) -> str:
    """Write a list on one line."""
    return re.sub(r"\s*\n\s*", " ", dump({KEY: list(names)}).strip()).removeprefix(f"{KEY}: ")


def _reads_as(text: str, wanted: Any) -> bool:
    try:
        return bool(read_text(text, "recipe").data == wanted)
    except RecipeError:
        return False
