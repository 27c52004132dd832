"""Tokens and logins: from a file of one's own or the environment, which then has them no longer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlopt.core.errors import OutputError
from mlopt.rollout.credential import ADMIN_TOKEN, credential


def test_a_file_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("from a file\n")
    file.chmod(0o600)
    monkeypatch.setenv(ADMIN_TOKEN, "from the environment")
    assert credential(file, ADMIN_TOKEN) == "from a file"
    assert ADMIN_TOKEN not in os.environ


def test_the_environment_has_it_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADMIN_TOKEN, "secret")
    assert credential(None, ADMIN_TOKEN) == "secret"
    assert credential(None, ADMIN_TOKEN) is None


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret")
    file.chmod(mode)
    with pytest.raises(OutputError, match="others can read") as caught:
        credential(file, ADMIN_TOKEN)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "two\nlines", "\x1b[31m", "\u00e4"])
def test_what_is_no_line_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(OutputError, match="no credential"):
        credential(file, ADMIN_TOKEN)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be read"):
        credential(tmp_path / "no", ADMIN_TOKEN)
