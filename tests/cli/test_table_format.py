"""One option of formats for all tables, and what foreign text may do in them: nothing."""

from __future__ import annotations

import csv as readers
import io

import pytest

from mlopt.cli.app import run
from mlopt.cli.program import program
from mlopt.cli.table_format import TableFormat, chosen, csv, emit, markdown
from mlopt.core.errors import ExitCode, UserError

HEADS = ("name", "ms")
WITH_TABLES = (
    "bench",
    "plan",
    "compare",
    "inspect",
    "gate",
    "bisect",
    "passes",
    "runtimes",
    "diff",
    "doctor",
    "cache ls",
    "cache explain",
)


def test_markdown_holds_figures_to_the_right_and_foreign_text_as_it_is() -> None:
    shown = markdown(HEADS, [("a|b\n<i>@someone</i>", "1.50"), ("c", "-")])
    lines = shown.splitlines()
    assert lines[:2] == ["| name | ms |", "|---|---:|"]
    assert len(lines) == 4
    assert "<i>" not in shown
    assert lines[2].replace("\\|", "").count("|") == 3


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1+1", "@SUM(1)", "-2+3", "\t=1"])
def test_no_cell_of_a_csv_is_a_formula(cell: str) -> None:
    heads, row = readers.reader(io.StringIO(csv(HEADS, [(cell, "-1.5e-3")])))
    assert tuple(heads) == HEADS
    assert row == [f"'{cell}", "-1.5e-3"]


def test_commas_quotes_and_lines_stay_in_their_cell() -> None:
    cell = 'a, "b"\nc'
    assert list(readers.reader(io.StringIO(csv(HEADS, [(cell, "1")])))) == [list(HEADS), [cell, "1"]]


@pytest.mark.parametrize(("format_", "start"), [(TableFormat.MD, "| name | ms |\n"), (TableFormat.CSV, "name,ms\n")])
def test_a_table_goes_to_standard_output(format_: TableFormat, start: str, capsys: pytest.CaptureFixture[str]) -> None:
    emit(format_, HEADS, [("a", "1")])
    assert capsys.readouterr().out.startswith(start)


def test_json_is_a_synonym_and_contradicts_the_others() -> None:
    assert chosen(TableFormat.TEXT, False) is TableFormat.TEXT
    assert chosen(TableFormat.TEXT, True) is chosen(TableFormat.JSON, True) is TableFormat.JSON
    with pytest.raises(UserError, match="--json and --format csv contradict"):
        chosen(TableFormat.CSV, True)


@pytest.mark.parametrize("verb", WITH_TABLES)
def test_every_verb_with_a_table_offers_all_formats(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = program()
    for word in verb.split():
        command = command.commands[word]
    assert run([*verb.split(), "--help"]) == ExitCode.OK
    assert "text|json|md|csv" in capsys.readouterr().out
    options = {option for each in command.params for option in each.opts}
    assert {"--format", "-f", "--json"} <= options


@pytest.mark.parametrize("verb", [["passes"], ["passes", "quantize"], ["runtimes"], ["cache", "ls"]])
def test_all_formats_say_the_same(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for format_ in ("md", "csv"):
        assert run([*verb, "--format", format_]) == ExitCode.OK
        shown[format_] = capsys.readouterr().out
    rows = list(readers.reader(io.StringIO(shown["csv"])))
    assert len(rows) == len(shown["md"].splitlines()) - 1
    assert len({len(row) for row in rows}) == 1
