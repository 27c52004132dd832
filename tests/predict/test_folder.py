"""The folder of a run: what it is of, what is taken back, and what a kill left in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import predicted
import pytest

import mlopt.predict.run as running
from mlopt.core.errors import DataError, OutputError
from mlopt.core.locks import locked
from mlopt.predict import folder
from mlopt.predict.records import SETUP, SHARDS
from mlopt.predict.run import PredictRequest, predict


@pytest.fixture
def request_(tmp_path: Path) -> PredictRequest:
    np.savez(tmp_path / "rows.npz", **predicted.rows(12))
    artifact = predicted.artifact(tmp_path / "words")
    return PredictRequest(artifact, tmp_path / "rows.npz", tmp_path / "out", crew=predicted.InlineCrew)


def test_what_a_kill_left_half_written_is_taken_away(request_: PredictRequest) -> None:
    (request_.output / SHARDS).mkdir(parents=True)
    (request_.output / SHARDS / ".00000.npz.123").write_bytes(b"half")
    (request_.output / ".mlopt-work").mkdir()
    (request_.output / ".mlopt-work/old").touch()
    predict(request_)
    assert sorted(path.name for path in request_.output.iterdir()) == [
        ".lock", "errors.jsonl", "predictions.json", "setup.json", "shards",
    ]  # fmt: skip
    assert sorted(path.name for path in (request_.output / SHARDS).iterdir())[:2] == ["00000.json", "00000.npz"]


def test_a_second_command_at_a_time_is_refused(request_: PredictRequest) -> None:
    with locked(request_.output / folder.LOCK), pytest.raises(OutputError, match="another mlopt predict writes"):
        predict(request_)


def test_a_setup_that_cannot_be_read_is_an_error(request_: PredictRequest) -> None:
    predict(request_)
    (request_.output / SETUP).write_text("{}")
    with pytest.raises(OutputError, match="what this folder is of cannot be read"):
        predict(request_)


def test_shards_of_data_that_changed_meanwhile_are_taken_back(
    request_: PredictRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = running._computed

    def meanwhile(*args: Any) -> Any:
        course = computed(*args)
        os.utime(request_.data, (1, 1))
        return course

    monkeypatch.setattr(running, "_computed", meanwhile)
    with pytest.raises(DataError, match="the data was changed while it was predicted"):
        predict(request_)
    assert list((request_.output / SHARDS).glob("*.json")) == []
    monkeypatch.undo()


def test_a_folder_that_cannot_be_made_is_an_error(request_: PredictRequest, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="the folder cannot be made"):
        predict(request_)
