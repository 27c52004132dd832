"""What the program is made of: its verbs, their help, and the options that all of them have."""

from __future__ import annotations

import logging
import resource
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from mlopt import __version__
from mlopt.cli import console
from mlopt.cli import program as built
from mlopt.cli.app import run
from mlopt.cli.program import GROUPS, PANELS, VERBS, program
from mlopt.core.errors import ExitCode


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    logger = logging.getLogger("mlopt")
    handlers, level = logger.handlers, logger.level
    yield
    logger.handlers = handlers
    logger.setLevel(level)
    console.err.quiet = False


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run([*arguments]) == ExitCode.OK
    return capsys.readouterr().out


def test_every_verb_and_group_has_a_panel_and_is_there() -> None:
    assert set(program().commands) == {*VERBS, *GROUPS}
    assert sorted(name for names in PANELS.values() for name in names) == sorted((*VERBS, *GROUPS))


@pytest.mark.parametrize(("columns", "one_line"), [(60, False), (80, True), (100, True)])
def test_the_help_says_of_each_in_whole_words_what_it_does(
    columns: int, one_line: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = shown(capsys, "--help").splitlines()
    assert max(map(len, lines)) <= columns
    assert not any("..." in line or "\u2026" in line for line in lines if "Usage:" not in line)
    for name in (*VERBS, *GROUPS):
        (at,) = (number for number, line in enumerate(lines) if line.split()[:1] == [name])
        assert len(lines[at].split()) > 2
        assert not one_line or lines[at].endswith(".")


def groups_and_verbs() -> list[list[str]]:
    every = program().commands
    below = {name: getattr(one, "commands", ()) for name, one in every.items()}
    return [*([name] for name in every), *([name, each] for name, each_of in below.items() for each in each_of)]


@pytest.mark.parametrize("verb", groups_and_verbs(), ids=" ".join)
def test_every_verb_has_the_common_options_and_the_short_form_of_help(
    verb: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    told = shown(capsys, *verb, "-h")
    assert shown(capsys, *verb, "--help") == told
    is_group = verb[0] in GROUPS and len(verb) == 1
    assert ("-q, --quiet" in told and "-v, --verbose" in told and "--events FILE" in told) is not is_group


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "-V") == shown(capsys, "--version") == f"mlopt {__version__}\n"


@pytest.mark.parametrize("order", [["{}", "digest", "DIR"], ["digest", "{}", "DIR"], ["digest", "DIR", "{}"]])
@pytest.mark.parametrize(("option", "level"), [("-v", logging.DEBUG), ("--quiet", logging.ERROR)])
def test_before_or_after_the_verb(
    order: list[str], option: str, level: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").write_text("a")
    run([word.format(option).replace("DIR", str(tmp_path)) for word in order])
    assert logging.getLogger("mlopt").level == level
    assert console.err.quiet is (option == "--quiet")
    assert run(["digest", str(tmp_path)]) == ExitCode.OK
    assert console.err.quiet is False, "what one run asks for is nothing to the next"


def test_quiet_silences_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["digest", "-q", str(tmp_path / "no")]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("error: ")


def test_a_verb_that_is_asked_for_by_name_imports_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported: list[str] = []

    def note(name: str) -> Any:
        imported.append(name)
        return import_module(name)

    monkeypatch.setattr(built, "import_module", note)
    run(["-v", "digest", str(tmp_path)])
    assert imported == ["mlopt.cli.digest"]


@pytest.mark.process
def test_the_help_costs_little_processor_time() -> None:
    code = "import resource, sys; from mlopt.cli.app import run; run(['--help']); print(sorted(sys.modules))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert not {"numpy", "rich", "onnx", "torch", "pydantic", "yaml"} & set(eval(done.stdout.splitlines()[-1]))
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0  # 0.13 s; a busy machine
