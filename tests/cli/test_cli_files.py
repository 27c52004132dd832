"""What a verb was asked to write is there whole, or the old file still is, with one clear error."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from mlopt.artifact import files as writing
from mlopt.cli.files import write_text
from mlopt.core.errors import OutputError


def test_the_text_is_in_the_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("old")
    write_text(path, "größe\n")
    assert path.read_bytes() == "größe\n".encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("place", "reason"), [("none/page.md", "No such file"), ("folder", "Is a directory")])
def test_a_place_that_takes_no_file_is_named(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=f"the file cannot be written: {reason}") as caught:
        write_text(tmp_path / place, "text")
    assert caught.value.problems[0].where == str(tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_on_a_full_disk_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "page.md"
    path.write_text("old")
    monkeypatch.setattr(writing.os, "replace", full)
    monkeypatch.setattr(Path, "replace", full)
    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old"
