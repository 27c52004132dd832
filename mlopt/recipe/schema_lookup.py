"""What a place in a recipe may hold, by its JSON Schema: for messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlopt.recipe.document import KeyPath

Schema = dict[str, Any]
_DEFS = "#/$defs/"


def keys_at(schema: Schema, path: KeyPath) -> list[str]:
    """Return the keys that a mapping at ``path`` may have, as far as they are fixed."""
    return [key for node in _at(schema, path) for key in node.get("properties", {})]


def choices_at(schema: Schema, path: KeyPath) -> list[str]:
    """Return the words that the value at ``path`` is chosen from, if it is."""
    found = [word for node in _at(schema, path) for word in (*node.get("enum", ()), node.get("const"))]
    return [word for word in found if isinstance(word, str)]


def description_at(schema: Schema, path: KeyPath) -> str | None:
    """Return what the value at ``path`` means, if the schema says so."""
    found = [text for node in _at(schema, path) if (text := node.get("description"))]
    return found[-1] if found else None


def _at(schema: Schema, path: KeyPath) -> list[Schema]:
    nodes = [schema]
    for part in path:
        nodes = [inner for node in nodes for outer in _alternatives(schema, node) for inner in _inside(outer, part)]
    return [inner for node in nodes for inner in _alternatives(schema, node)]


def _alternatives(schema: Schema, node: Schema) -> Iterator[Schema]:
    if "$ref" in node:
        yield from _alternatives(schema, schema["$defs"][node["$ref"].removeprefix(_DEFS)])
    for option in node.get("anyOf", ()):
        yield from _alternatives(schema, option)
    yield node


def _inside(node: Schema, part: str | int) -> Iterator[Schema]:
    rest = node.get("additionalProperties")
    if isinstance(part, int):
        if "items" in node:
            yield node["items"]
    elif part in node.get("properties", {}):
        yield node["properties"][part]
    elif isinstance(rest, dict):
        yield rest
