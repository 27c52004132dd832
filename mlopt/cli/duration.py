"""A span of time as people write it on a command line: ``90s``, ``5m``, ``1h30m``."""

from __future__ import annotations

import re

import typer

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_SPAN = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s)?")
_LEAST = 1.0


def duration(text: str | float) -> float:
    """Return the seconds; raises ``typer.BadParameter`` for anything but at least a second."""
    if isinstance(text, float):  # a default, which has been read already
        return text
    found = _SPAN.fullmatch(str(text).strip().lower())
    parts = found.groups() if found else (None,)
    seconds = sum(float(number) * unit for number, unit in zip(parts, _UNITS.values(), strict=False) if number)
    if seconds < _LEAST:
        raise typer.BadParameter(f"{text!r} is no time: write it like 5m, 90s or 1h30m, of a second at least")
    return seconds
