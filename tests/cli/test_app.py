"""The program: the one place where errors become text and exit codes, and where a verb costs no other's import."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from mlopt.cli.app import run
from mlopt.core.errors import ExitCode, IntegrityError, ModelError, Problem, RecipeError

Raises = Callable[[BaseException], None]


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Each command starts the log anew, and the next test wants its own."""
    logger = logging.getLogger("mlopt")
    handlers, level = logger.handlers, logger.level
    yield
    logger.handlers = handlers
    logger.setLevel(level)


@pytest.fixture
def raises(monkeypatch: pytest.MonkeyPatch) -> Raises:
    """Let ``mlopt digest`` raise this."""

    def use(error: BaseException) -> None:
        def fail(*_: Any) -> None:
            raise error

        monkeypatch.setattr("mlopt.artifact.sign.digest", fail)

    return use


@pytest.mark.parametrize("arguments", [["optimise"], ["digest"], ["digest", "a", "--no-such"], ["cache", "no-such"]])
def test_what_cannot_be_a_command_is_the_users_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == ExitCode.USAGE
    assert "Usage:" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(RecipeError, ExitCode.USAGE), (IntegrityError, ExitCode.INTEGRITY)])
def test_an_error_is_its_problems_and_its_code(
    raises: Raises, error: type[RecipeError], code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    raises(error.of([Problem("one", "r.yaml:3:1", fix="mend it"), Problem("two")]))
    assert run(["digest", "x"]) == code
    printed = capsys.readouterr()
    assert printed.err == "error: r.yaml:3:1: one\n  fix       mend it\nerror: two\n"
    assert printed.out == ""


def test_of_very_many_problems_the_first_are_shown(raises: Raises, capsys: pytest.CaptureFixture[str]) -> None:
    raises(RecipeError.of(Problem(f"problem {number}") for number in range(1100)))
    run(["digest", "x"])
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2:] == ["error: problem 49", "error: 1,050 more, which are not shown"]


def test_an_error_of_ones_own_python_shows_its_traceback_to_those_who_ask(
    raises: Raises, capsys: pytest.CaptureFixture[str]
) -> None:
    cause = ValueError("inner")
    cause.add_note("Traceback of net.py")
    error = ModelError("the recipe's Python failed")
    error.__cause__ = cause
    raises(error)
    run(["digest", "x"])
    assert "hint: `mlopt -v optimize ...` shows the traceback" in capsys.readouterr().err
    run(["-v", "digest", "x"])
    shown = capsys.readouterr().err
    assert "traceback: Traceback of net.py" in shown
    assert "hint" not in shown


def test_anything_else_is_a_bug_of_mlopt_with_a_file_to_send(
    raises: Raises, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    raises(ZeroDivisionError("by zero"))
    assert run(["digest", "x"]) == ExitCode.BUG
    shown = capsys.readouterr().err
    (log,) = tmp_path.glob("mlopt-bug-*.log")
    assert "bug: ZeroDivisionError: by zero" in shown
    assert str(log) in shown.replace("\n", "")
    assert "Traceback" not in shown
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_an_interrupt_says_how_to_go_on(raises: Raises, capsys: pytest.CaptureFixture[str]) -> None:
    raises(KeyboardInterrupt())
    assert run(["digest", "x"]) == ExitCode.INTERRUPTED
    assert "interrupted: what was finished is in the cache" in capsys.readouterr().err


def test_output_that_takes_no_more_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w", buffering=1) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert run(["--version"]) == ExitCode.USAGE
    assert "the output cannot be written" in capsys.readouterr().err
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert run(["--version"]) == ExitCode.PIPE_CLOSED


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (RecipeError("one", where="r.yaml:3:1", got="two\nlines"), ExitCode.USAGE, "r.yaml:3:1: one: two lines"),
        (IntegrityError.of([Problem("changed"), Problem("removed")]), ExitCode.INTEGRITY, "changed"),
        (ZeroDivisionError("by zero"), ExitCode.BUG, "ZeroDivisionError: by zero"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted"),
        (typer.BadParameter("give a number"), ExitCode.USAGE, "Invalid value: give a number"),
        (typer.Exit(ExitCode.INCONCLUSIVE), ExitCode.INCONCLUSIVE, None),
    ],
)
def test_whatever_ends_a_command_its_events_say_so_once(
    raises: Raises,
    error: BaseException,
    code: ExitCode,
    message: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    raises(error)
    assert run(["digest", "x", "--events", str(tmp_path / "run.jsonl")]) == code
    assert ended(tmp_path / "run.jsonl") == (code, message)


def ended(file: Path) -> tuple[int, str | None]:
    """What the last of two events says."""
    first, last = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    assert (first["kind"], last["kind"]) == ("started", "ended")
    return last["exit_code"], last["error"]


def test_a_signal_is_an_end_too(raises: Raises, tmp_path: Path) -> None:
    raises(SystemExit(143))
    with pytest.raises(SystemExit):
        run(["digest", "x", "--events", str(tmp_path / "run.jsonl")])
    assert ended(tmp_path / "run.jsonl") == (143, None)


def test_the_code_is_that_of_all_that_was_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still to be written may be what cannot be."""
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "a").write_text("a")
    with Path("/dev/full").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        words = ["digest", str(tmp_path / "digits"), "--json", "--events", str(tmp_path / "run.jsonl")]
        assert run(words) == ExitCode.USAGE
    assert ended(tmp_path / "run.jsonl") == (ExitCode.USAGE, None)
