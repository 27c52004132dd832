"""Where text leaves the program: results on standard output, everything for humans beside them on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console

err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
out = Console(highlight=False, soft_wrap=True, emoji=False)


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
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
