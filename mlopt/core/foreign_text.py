"""The door for text that came from outside: names in a model, a report or data, file names, what a library says.

All of it is shown, and none of it does anything: control characters, those that turn or hide text, and what a CI
system's log reads as a command become visible signs. Each format beyond plain text escapes its own besides.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

_SIGN = "\ufffd"
_UNUSUAL = re.compile(r"[^\x20-\x7e]")
_COMMAND_WITHIN = re.compile(r"#(?=#(?:\[|vso\[))", re.IGNORECASE)
_COMMAND = re.compile(rf"^(\s*):(?=:)|{_COMMAND_WITHIN.pattern}", re.MULTILINE | re.IGNORECASE)


def visible(text: str) -> str:
    """Return text of one or more lines without control, bidirectional and other invisible characters."""
    return _UNUSUAL.sub(_shown, text)


def plain(text: str) -> str:
    """Return text on one line, as ``visible``."""
    return visible(" ".join(text.split()))


def inert(text: str) -> str:
    """Return text as ``visible``, of which no line is a command to GitHub's or Azure's runner."""
    return _COMMAND.sub(lambda found: f"{found[1] or ''}\\x{ord(found[0][-1]):x}", visible(text))


def as_shown(value: Any) -> Any:
    """Return what a template is about to show: text as ``visible``, markup of mlopt's own and figures as they are."""
    return visible(value) if type(value) is str else value


def as_json(value: Any, *, indent: int | None = 2) -> str:
    """Return one JSON document; what ``inert`` would change is an escape. Raises ``ValueError`` on NaN and infinity."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return _COMMAND_WITHIN.sub(r"\\u0023", _UNUSUAL.sub(_escaped, text))


def _is_hidden(character: str) -> bool:
    return (character not in "\n\t" and unicodedata.category(character)[0] == "C") or character in "\u2028\u2029"


def _shown(found: re.Match[str]) -> str:
    return _SIGN if _is_hidden(found[0]) else found[0]


def _escaped(found: re.Match[str]) -> str:
    """Escape as JSON does: a character beyond the first 65,536 in two halves."""
    return json.dumps(found[0])[1:-1] if _is_hidden(found[0]) else found[0]
