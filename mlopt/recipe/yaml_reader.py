"""YAML as recipes use it: plain data, nothing that surprises, and a place in the file for every key.

What PyYAML's own loaders do is not wanted here: they keep the last of two equal keys, grow without bound on aliases and
merge keys, and read ``no`` as false. So only PyYAML's parser is used, and its events are turned into data by the YAML
1.2 core schema. Tags, anchors, aliases, merge keys, duplicate keys, directives and second documents are refused, and so
are numbers that are not finite or beyond 64 bits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from mlopt.core.errors import Problem, RecipeError
from mlopt.recipe.document import Document, KeyPath, Place, shorten

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_VALUES = 20_000
"""Each can be wrong in its own way, and is told then."""

# The plain scalars of the YAML 1.2 core schema that are not text.
NULL = re.compile(r"~|null|Null|NULL|")
BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def read_file(path: Path) -> Document:
    """Read one YAML file; raises ``RecipeError``."""
    return read_text(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """Return what the file holds, at most 1 MiB and a byte; raises ``RecipeError`` if it cannot be read or is empty."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise RecipeError("the file does not exist", where=str(path), fix="check the path") from error
    except OSError as error:
        raise RecipeError(
            f"the file cannot be read: {error.strerror}", where=str(path), fix="check the path"
        ) from error
    except ValueError as error:  # a zero byte in the name
        raise RecipeError("this is no file name", where=repr(str(path)), got=str(error)) from error
    if not data.strip():
        raise RecipeError("the file is empty", where=str(path), got=f"{len(data)} bytes", expected="YAML")
    return data


def read_text(source: bytes | str, name: str) -> Document:
    """Read YAML from memory; ``name`` is what messages call it.

    Raises ``RecipeError``: with everything that is refused, or with the first thing that is not YAML at all.
    """
    if len(source) > MAX_BYTES:
        raise RecipeError("the file is too large", where=name, expected="at most 1 MiB of YAML")
    text = source if isinstance(source, str) else _decode(source, name)
    builder = _Builder(name, text)
    try:
        data = builder.document()
    except yaml.MarkedYAMLError as error:
        raise RecipeError.of([*builder.problems, _syntax_problem(error, name)]) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two, for escapes such as "\UFFFFFFFF"
        raise RecipeError.of([*builder.problems, Problem(f"this is not YAML: {_one_line(error)}", name)]) from error
    if builder.problems:
        raise RecipeError.of(builder.problems)
    return Document(data, builder.keys, builder.values)


def _decode(source: bytes, name: str) -> str:
    try:
        return source.decode("utf-8")
    except UnicodeDecodeError as error:
        before = source[: error.start].decode("utf-8")
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"), name)
        raise RecipeError(
            "the file is not text in UTF-8", where=str(place), got=f"the byte 0x{source[error.start]:02x}",
            fix="save it as UTF-8",
        ) from error  # fmt: skip


def _syntax_problem(error: yaml.MarkedYAMLError, name: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    where = str(Place(mark.line + 1, mark.column + 1, name)) if mark else name
    return Problem(f"this is not YAML: {', '.join(filter(None, (error.context, error.problem)))}", where)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class _Builder:
    """Turns parser events into data. It notes what it refuses and goes on, so that all of it is reported at once."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.events: Iterator[Event] = yaml.parse(text, Loader=yaml.SafeLoader)
        self.problems: list[Problem] = []
        self.keys: dict[KeyPath, Place] = {}
        self.values: dict[KeyPath, Place] = {}
        self.count = 0

    def document(self) -> Any:
        data, documents = None, 0
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if event.version or event.tags:
                    self._refuse(event, "a YAML directive (%) is not allowed", fix="remove it")
            elif isinstance(event, NodeEvent) and documents == 1:
                data = self._value(event, ())
            elif isinstance(event, NodeEvent):
                self._refuse(event, "a second document is not allowed", fix="keep one document in the file")
                break
        if not documents:
            raise RecipeError("the file holds nothing but comments", where=self.name, expected="YAML")
        return data

    def _value(self, event: Event, path: KeyPath) -> Any:
        self.values[path] = self._place(event)
        self.count += 1
        if self.count > MAX_VALUES:
            where = str(self._place(event))
            raise RecipeError("the file holds too many values", where=where, expected=f"at most {MAX_VALUES:,}")
        if len(path) > MAX_DEPTH:
            where = str(self._place(event))
            raise RecipeError("this is nested too deeply", where=where, expected=f"at most {MAX_DEPTH} levels")
        self._refuse_references(event)
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        if isinstance(event, MappingStartEvent):
            return self._mapping(path)
        return None  # an alias, refused above

    def _sequence(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        for event in self.events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, MappingEndEvent):
                break
            key = self._key(event, path)
            child = (*path, key)
            if key in entries:
                fix = f"remove one of them; the first is at {self.keys[child]}"
                self._refuse(event, f"duplicate key {shorten(key)}", fix=fix)
            self.keys[child] = self._place(event)
            entries[key] = self._value(next(self.events), child)
        return entries

    def _key(self, event: Event, path: KeyPath) -> str:
        before = len(self.problems)
        key = self._value(event, (*path, "?"))
        if len(self.problems) > before:
            return f"refused at {self._place(event)}"
        if isinstance(event, ScalarEvent) and event.value == "<<" and event.style is None:
            self._refuse(event, "a merge key (<<) is not allowed", fix="write the keys out")
        elif not isinstance(key, str):
            self._refuse(event, "a key must be text", got=shorten(key), fix="put it in quotes")
        return str(key)

    def _scalar(self, event: ScalarEvent) -> Any:
        text: str = event.value
        if any("\ud800" <= char <= "\udfff" for char in text):
            self._refuse(event, "half of a surrogate pair is not text", got=shorten(text))
        if not event.implicit[0] or event.style is not None:
            return text
        if NULL.fullmatch(text):
            return None
        if BOOL.fullmatch(text):
            return text.lower() == "true"
        if INT.fullmatch(text):
            return self._int(event)
        if FLOAT.fullmatch(text) or NOT_FINITE.fullmatch(text):
            return self._float(event)
        return text

    def _int(self, event: ScalarEvent) -> int:
        text: str = event.value
        value = int(text, 0 if text.startswith(("0o", "0x")) else 10) if len(text) <= 32 else 1 << 64
        if not -(1 << 63) <= value < 1 << 63:
            self._refuse(event, "the number is too large", got=shorten(text), expected="an integer of 64 bits")
        return value

    def _float(self, event: ScalarEvent) -> float:
        value = math.inf if NOT_FINITE.fullmatch(event.value) else float(event.value)
        if not math.isfinite(value):
            fix = "if text is meant, put it in quotes"
            self._refuse(event, "the number is not finite", got=shorten(event.value), fix=fix)
        return value

    def _refuse_references(self, event: Event) -> None:
        if isinstance(event, AliasEvent):
            self._refuse(event, f"an alias (*{event.anchor}) is not allowed", fix="write the value out")
        elif isinstance(event, ScalarEvent | CollectionStartEvent):
            if event.anchor is not None:
                self._refuse(event, f"an anchor (&{event.anchor}) is not allowed", fix="remove it")
            if event.tag is not None:
                self._refuse(event, f"a tag ({shorten(event.tag)}) is not allowed", fix="remove it: plain values do")

    def _place(self, event: Event) -> Place:
        mark = event.start_mark
        return Place(mark.line + 1, mark.column + 1, self.name) if mark else Place(0, 0, self.name)

    def _refuse(self, event: Event, what: str, **details: str) -> None:
        self.problems.append(Problem(what, str(self._place(event)), **details))
