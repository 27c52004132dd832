"""Texts beside each other in a folder: made if need be, whole, and told of what could not be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopt.core.errors import OutputError
from mlopt.report import renderings


def test_the_folder_is_made_and_what_is_there_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "new/folder"
    renderings.write(folder, {"a.md": "before", "b.json": "{}"}, what="the thing", fix="none")
    renderings.write(folder, {"a.md": "zwölf"}, what="the thing", fix="none")
    assert {file.name: file.read_text("utf-8") for file in folder.iterdir()} == {"a.md": "zwölf", "b.json": "{}"}


def test_what_the_system_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="the thing cannot be written: File exists") as caught:
        renderings.write(tmp_path / "file", {"a": "b"}, what="the thing", fix="choose another")
    (problem,) = caught.value.problems
    assert (problem.where, problem.fix) == (str(tmp_path / "file"), "choose another")
