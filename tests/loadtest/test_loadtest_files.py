"""``loadtest.json`` and its renderings on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from load_example import record

from mlopt.core.errors import OutputError, UserError
from mlopt.loadtest import files
from mlopt.results.serving import SCHEMA, LoadTestRecord


def test_all_three_are_written_and_the_json_is_the_record(tmp_path: Path) -> None:
    given = record()
    files.write(given, tmp_path / "new/folder")
    assert {file.name for file in (tmp_path / "new/folder").iterdir()} == {
        "loadtest.json", "loadtest.html", "loadtest.md",
    }  # fmt: skip
    text = (tmp_path / "new/folder/loadtest.json").read_text()
    assert json.loads(text)["schema"] == SCHEMA
    assert LoadTestRecord.model_validate_json(text) == given


def test_where_nothing_can_be_written_is_found_out_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    files.check_folder(tmp_path / "new")
    for folder in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(OutputError):
            files.check_folder(folder)
        with pytest.raises(OutputError, match="cannot be written"):
            files.write(record(), folder)


def test_what_was_written_is_read_back_and_nothing_else(tmp_path: Path) -> None:
    given = record()
    files.write(given, tmp_path)
    assert files.read(tmp_path / "loadtest.json") == given
    with pytest.raises(UserError, match="the load test cannot be read"):
        files.read(tmp_path / "none.json")
    for text in ("{}", "not JSON", '{"schema": "mlopt.report/v1"}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(UserError, match="this is no load test of mlopt"):
            files.read(tmp_path / "other.json")
