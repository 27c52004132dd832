"""The program: the one place where errors become text and exit codes, and where a verb costs no other's import."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

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
