"""Where text leaves the program: results on standard output, everything for humans beside them on standard error.

Whatever is printed here passes the door of ``mlopt.core.foreign_text``; only what mlopt itself means as a command, or
as JSON, goes past it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from mlopt.core.foreign_text import as_json, inert


class _Door(Console):
    """A console that shows foreign text as it is: brackets are no markup, and no character or line is a command."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(inert(segment.text), segment.style)


def _console(*, stderr: bool = False) -> Console:
    return _Door(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, markup=False)


err = _console(stderr=True)
out = _console()


def columns(rows: Sequence[Sequence[str]], texts: int) -> Iterator[str]:
    """Yield each row as a line, its first ``texts`` cells to the left and the figures after them to the right.

    Nothing is folded, however narrow the screen: long names would be hard to read and to search for.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        left = map(str.ljust, row[:texts], widths)
        yield "  ".join((*left, *map(str.rjust, row[texts:], widths[texts:]))).rstrip()


def emit_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(as_json(value) + "\n")


def emit_document(text: str) -> None:
    """Print a page that may be long, as it is but for what does something."""
    sys.stdout.write(inert(text))


def emit_commands(text: str) -> None:
    """Print what a CI system is to read as commands: mlopt's own, its foreign parts escaped by their rules."""
    sys.stdout.write(text)
