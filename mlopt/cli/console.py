"""Where text leaves the program: results on standard output, everything for humans beside them on standard error.

Whatever is printed here passes the door of ``mlopt.core.foreign_text``; only what mlopt itself means as a command, or
as JSON, goes past it.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from mlopt.core.foreign_text import as_json, inert


class Screen(Console):
    """A console that shows foreign text as it is: brackets are no markup, and no character or line is a command."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, through the door."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(inert(segment.text), segment.style)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **how: Any) -> None:
        """Print: on a terminal lines break at words, elsewhere they are as long as they are."""
        text = all(isinstance(each, str) for each in objects)
        if soft_wrap is None and self.is_terminal and text:
            objects = tuple(wrapped(each, self.width) for each in objects)
        super().print(*objects, soft_wrap=(text or not self.is_terminal) if soft_wrap is None else soft_wrap, **how)

    def say(self, text: str, style: str, marked: int) -> None:
        """Print a line of which the first ``marked`` characters have a style."""
        from rich.text import Text

        line = Text(wrapped(text, self.width) if self.is_terminal else text)
        line.stylize(style, 0, marked)
        self.print(line, soft_wrap=True)


def _console(*, stderr: bool = False) -> Screen:
    return Screen(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, markup=False)


err = _console(stderr=True)
out = _console()
errors = _console(stderr=True)
"""What ``--quiet`` does not silence, as it does ``err``."""


def wrapped(text: str, width: int) -> str:
    """Break lines at words; what follows a label and two spaces goes on below itself. A longer word stays whole."""
    lines = []
    for line in text.split("\n"):
        label = re.match(r" *(?:\S+ {2,})?", line)
        indent = " " * min(len(label[0]) if label else 0, width // 2)
        lines += textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
            replace_whitespace=False,
        ) or [""]  # fmt: skip
    return "\n".join(lines)


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
