"""What a user reads when something is wrong: one clear cause, its place, and a fix that works. Golden files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_inputs import CASES

from mlopt.cli.app import run

Golden = Callable[[str, str], None]
_PROGRESS = re.compile(r"^ *\d+\.\d s  \w+\n", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(code: int, stderr: str, folder: Path) -> str:
    """The exit code and the message, without what differs from run to run."""
    text = _PROGRESS.sub("", stderr).replace(str(folder), "<tmp>")
    return f"exit {code}\n{text}"


@pytest.mark.parametrize("name", CASES)
def test_message(name: str, folder: Path, golden: Golden, capfd: pytest.CaptureFixture[str]) -> None:
    code = run(CASES[name]())
    out, err = capfd.readouterr()
    assert code == 2
    assert "Traceback" not in out + err
    golden(f"bad_inputs/{name}.txt", told(code, err, folder))
