"""Any value of a configuration or a note in words: no page shows a reader the braces of JSON or of Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlopt.core.foreign_text import plain
from mlopt.report import facts

_TEXT_LENGTH, _MOST_ITEMS, _MOST_ENTRIES = 400, 24, 60


def words(value: Any) -> str:
    """Return one value as text; lists are counted out, what is nested is told as ``key value``."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, Mapping):
        return _listed([f"{label(key)} {words(one)}" for key, one in value.items()])
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _listed([words(one) for one in value], "; " if any(map(_is_group, value)) else ", ")
    return facts.shorten(str(value), _TEXT_LENGTH)


def _number(value: float) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if abs(value) >= 10_000 else str(value)


def label(key: Any) -> str:
    """Return a key as one reads it."""
    return plain(str(key)).replace("_", " ")


def entries(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return ``(label, text)`` of each setting; those of a group within it are named after the group."""
    found = tuple(_flat(settings, ""))
    more = len(found) - _MOST_ENTRIES
    return (*found[:_MOST_ENTRIES], ("and", f"{more:,} more in report.json")) if more > 0 else found


def _flat(settings: Mapping[str, Any], group: str) -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        name = f"{group}, {label(key)}" if group else label(key)
        if isinstance(value, Mapping) and value:
            yield from _flat(value, name)
        else:
            yield name, words(value)


def _is_group(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple))


def _listed(parts: Sequence[str], between: str = ", ") -> str:
    more = len(parts) - _MOST_ITEMS
    shown = [*parts[:_MOST_ITEMS], *([f"{more:,} more"] if more > 0 else [])]
    return facts.shorten(between.join(shown), _TEXT_LENGTH) or "none"
