"""The log on standard error: warnings or everything, once, and without a character that does something."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from mlopt.cli import log


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    logger = logging.getLogger("mlopt")
    handlers, level = logger.handlers, logger.level
    yield
    logger.handlers = handlers
    logger.setLevel(level)


@pytest.mark.parametrize(("verbose", "shown"), [(False, "careful\n"), (True, "all\ncareful\n")])
def test_details_are_for_those_who_ask(verbose: bool, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.start(verbose=verbose)
    logger = logging.getLogger("mlopt.core.anything")
    logger.debug("all")
    logger.warning("careful")
    assert capsys.readouterr().err == shown


def test_a_second_command_in_one_process_says_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    log.start(verbose=True)
    log.start(verbose=False)
    logging.getLogger("mlopt.x").warning("once")
    assert capsys.readouterr().err == "once\n"


def test_foreign_text_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    log.start(verbose=False)
    logging.getLogger("mlopt.x").warning("name: %s", "\x1b[31m\n::error::owned")
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert not any(line.startswith("::") for line in shown.splitlines())
    assert "error::owned" in shown


def test_so_does_what_a_traceback_holds(capsys: pytest.CaptureFixture[str]) -> None:
    log.start(verbose=False)
    error = ValueError("\x1b[31m")
    logging.getLogger("mlopt.x").warning("it failed", exc_info=error)
    shown = capsys.readouterr().err
    assert "ValueError: \ufffd[31m" in shown
