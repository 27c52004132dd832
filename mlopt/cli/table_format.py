"""``--format text|json|md|csv``: one option for every verb that prints a table, with ``--json`` as a synonym."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class TableFormat(StrEnum):
    """What a table is printed as on standard output."""

    TEXT = "text"
    JSON = "json"
    MD = "md"
    CSV = "csv"


_FORMAT = "Markdown is for pull requests, CSV for spreadsheets."
_NUMBER = re.compile(r"[-+]?(\d[\d,]*\.?\d*|\.\d+)([eE][-+]?\d+)?")

Format = Annotated[TableFormat, typer.Option("--format", "-f", help=_FORMAT)]
Json = Annotated[bool, typer.Option("--json", help="The same as --format json.")]


def chosen(format_: TableFormat, as_json: bool) -> TableFormat:
    """Return the format that both options ask for; raises ``UserError`` where they contradict each other."""
    from mlopt.core.errors import UserError

    if as_json and format_ not in (TableFormat.TEXT, TableFormat.JSON):
        raise UserError(f"--json and --format {format_} contradict each other", fix="give one of them")
    return TableFormat.JSON if as_json else format_


def emit(format_: TableFormat, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of plain texts as Markdown or CSV."""
    from mlopt.cli.console import emit_document

    emit_document(markdown(heads, rows) if format_ is TableFormat.MD else csv(heads, rows))


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the table; a column of figures stands to the right."""
    from mlopt.report.markdown import text

    lines = [tuple(map(str, row)) for row in rows]
    figures = [all(re.match(r"[-+.\d]|$", row[at]) for row in lines) for at in range(len(heads))]
    rules = "|".join("---:" if of_figures and at else "---" for at, of_figures in enumerate(figures))
    shown = (f"| {' | '.join(map(text, row))} |\n" for row in (tuple(heads), *lines))
    first = next(shown)
    return "".join([first, f"|{rules}|\n", *shown])


def csv(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the table as RFC 4180 has it but for the ends of lines; no cell is a formula to a spreadsheet."""
    import csv as writers
    import io

    stream = io.StringIO()
    writer = writers.writer(stream, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(map(_inert, row) for row in rows)
    return stream.getvalue()


def _inert(cell: str) -> str:
    return f"'{cell}" if cell[:1] in "=+-@\t\r" and cell and not _NUMBER.fullmatch(cell) else cell
