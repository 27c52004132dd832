"""Records: a shard counts only if its file and its record are whole and agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlopt.predict.records import SHARDS, RowFault, RunSetup, ShardRecord, file_digest, read_shard, write_shard

SETUP = RunSetup(artifact="a" * 64, data="d" * 64, reading={}, rows=10, shard_rows=5, batch_size=2)


def record(folder: Path, **changes: Any) -> ShardRecord:
    (folder / SHARDS).mkdir(exist_ok=True)
    file = folder / SHARDS / "00001.npz"
    file.write_bytes(b"outputs")
    parts: dict[str, Any] = {
        "run": SETUP.digest, "number": 1, "start": 5, "stop": 10, "file": file.name, "sha256": file_digest(file),
        "bytes": 7, "predicted": 4, "faults": (RowFault(row=7, error="bad"),), "not_finite": 0,
        "outputs": (("y", "y"),), "seconds": 1.5, "cpu_seconds": 2.0, "host": "here",
    }  # fmt: skip
    return write_shard(folder, ShardRecord(**(parts | changes)))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = record(tmp_path)
    assert read_shard(tmp_path, 1) == written
    assert read_shard(tmp_path, 0) is None


@pytest.mark.parametrize("key", ["predicted", "faults", "stop", "cpu_seconds", "run"])
def test_a_changed_record_does_not_count(tmp_path: Path, key: str) -> None:
    record(tmp_path)
    file = tmp_path / SHARDS / "00001.json"
    held = json.loads(file.read_text())
    held[key] = [] if key == "faults" else "b" * 64 if key == "run" else held[key] + 1
    file.write_text(json.dumps(held))
    assert read_shard(tmp_path, 1) is None


def test_a_changed_or_missing_file_does_not_count(tmp_path: Path) -> None:
    record(tmp_path)
    (tmp_path / SHARDS / "00001.npz").write_bytes(b"output")
    assert read_shard(tmp_path, 1) is None
    (tmp_path / SHARDS / "00001.npz").unlink()
    assert read_shard(tmp_path, 1) is None


def test_a_record_that_does_not_account_for_each_row_does_not_count(tmp_path: Path) -> None:
    record(tmp_path, predicted=3)
    assert read_shard(tmp_path, 1) is None


def test_a_record_of_another_place_does_not_count(tmp_path: Path) -> None:
    record(tmp_path)
    (tmp_path / SHARDS / "00001.json").rename(tmp_path / SHARDS / "00002.json")
    assert read_shard(tmp_path, 2) is None


def test_setups_name_what_differs() -> None:
    other = SETUP.model_copy(update={"rows": 11, "reading": {"text": {"field": "t"}}})
    assert SETUP.differences(SETUP) == []
    assert SETUP.differences(other) == [("reading", "{}", '{"text": {"field": "t"}}'), ("rows", "10", "11")]
    assert SETUP.digest != other.digest
