"""Where text leaves the program: foreign text does nothing there, JSON stays JSON, and tables are never folded."""

from __future__ import annotations

import io
import json

import pytest
from rich.text import Text

from mlopt.cli import console


def test_neither_markup_nor_control_characters_nor_commands_of_a_ci_system_do_anything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.out.print("[bold]x[/bold] :skull: \x1b[31mred")
    console.err.print(Text("::error::owned"))
    printed = capsys.readouterr()
    assert printed.out == "[bold]x[/bold] :skull: \ufffd[31mred\n"
    assert "::error" not in printed.err
    assert "error::owned" in printed.err


def test_a_long_line_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    console.out.print("x" * 500)
    assert capsys.readouterr().out == "x" * 500 + "\n"


def test_json_is_one_document_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": "\x1b[31m ##[error] größe"}
    console.emit_json(value)
    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert "\x1b" not in printed
    assert "##[" not in printed
    assert printed.endswith("}\n")


def test_what_json_cannot_say_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        console.emit_json({"value": float("nan")})
    assert capsys.readouterr().out == ""


def test_only_mlopts_own_commands_pass_the_door(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit_document("::error::x\n")
    assert not capsys.readouterr().out.startswith("::")
    console.emit_commands("::error::x\n")
    assert capsys.readouterr().out == "::error::x\n"


def test_columns_hold_texts_to_the_left_and_figures_to_the_right() -> None:
    rows = [("name", "type", "ms"), ("a" * 90, "Conv", "1.0"), ("b", "", "10.0")]
    assert list(console.columns(rows, texts=2)) == [
        f"{'name':<90}  type    ms",
        f"{'a' * 90}  Conv   1.0",
        f"{'b':<90}        10.0",
    ]


def test_a_row_has_no_blanks_at_its_end() -> None:
    assert list(console.columns([("long name",), ("x",)], texts=1)) == ["long name", "x"]


@pytest.mark.parametrize("columns", [60, 80])
def test_on_a_terminal_lines_break_at_words(columns: int) -> None:
    said = "the model takes other inputs than the samples have: " * 5
    screen = console.Screen(file=io.StringIO(), width=columns, force_terminal=True, color_system=None)
    screen.print(f"error: {said}\n  fix       {said}\n{'x' * 100}")
    screen.say(f"fail         {said}", "red", 4)
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert " ".join(" ".join(lines).split()).count(said.strip()) == 3
    assert {line for line in lines if len(line) > columns} == {"x" * 100}
    assert sum(line.startswith(" " * 12) for line in lines) >= 4, "what wraps stands under its text"
