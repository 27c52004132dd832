"""Plain data read from a recipe, with the place where each part of it stands: what makes an error message precise."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Place:
    """A line and column (from 1) in a source; line 0 stands for the whole source, such as a ``--set`` option."""

    line: int
    column: int
    source: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class Document:
    """Plain data (as JSON knows it), and where in the source each key and value stands."""

    data: Any
    keys: Mapping[KeyPath, Place]
    values: Mapping[KeyPath, Place]

    def key_place(self, path: KeyPath) -> Place:
        """Return where the key of a mapping entry is, or the nearest thing around it."""
        return self.keys.get(path) or self.value_place(path)

    def value_place(self, path: KeyPath) -> Place:
        """Return where the value is, or the nearest thing around it."""
        while path not in self.values:
            path = path[:-1]
        return self.values[path]


def dotted(path: KeyPath) -> str:
    """Write a key path as ``--set`` takes it: ``passes.quantize.scheme``."""
    if len(path) > 2 and path[0] == "passes" and isinstance(path[2], str):
        path = ("passes", *path[2:])
    return ".".join(map(str, path))


def shorten(value: object, limit: int = 60) -> str:
    """Show a value in a message: printable, on one line, of bounded length."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return a hint if one of ``known`` is close to ``word``."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return did_you_mean(found[0]) if found else None


def did_you_mean(word: str) -> str:
    """Word the hint."""
    return f"did you mean {word!r}?"
