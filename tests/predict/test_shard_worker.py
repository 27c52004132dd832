"""The worker of shards, in this process: whatever sizes and bad rows there are, each row comes out once, in order."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import predicted
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlopt.predict as predictions
from mlopt.artifact.signing.base import Trust
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.core.errors import OutputError
from mlopt.predict import shard_file
from mlopt.predict.records import SHARDS, read_shard
from mlopt.predict.run import PredictRequest, predict
from mlopt.predict.shard_worker import Abandoned, Flight, ShardWork, ShardWorker
from mlopt.predict.shards import Span


@pytest.fixture
def worker(tmp_path: Path) -> Callable[..., ShardWorker]:
    """``worker(count, poisoned, max_errors)``: one for so many rows."""

    def made(count: int, poisoned: tuple[int, ...] = (), max_errors: int = 100) -> ShardWorker:
        (tmp_path / SHARDS).mkdir()
        artifact = predicted.artifact(tmp_path / "words")
        for name, array in predicted.rows(count, poisoned).items():
            np.save(tmp_path / f"{name}.npy", array)
        inputs = {name: tmp_path / f"{name}.npy" for name in ("ids", "x")}
        work = ShardWork(artifact, artifact, inputs, tmp_path, run="r" * 64, batch_size=4, max_errors=max_errors)
        return ShardWorker(work, tmp_path / "flight")

    return made


def test_any_sizes_and_any_bad_rows_give_every_row_once_in_order(tmp_path: Path) -> None:
    artifact = predicted.artifact(tmp_path / "words")
    trust: Trust = KeyTrust.of(None)

    @settings(max_examples=30, deadline=None)
    @given(count=st.integers(1, 40), size=st.integers(1, 45), batch=st.integers(1, 9), data=st.data())
    def check(count: int, size: int, batch: int, data: Any) -> None:
        bad = data.draw(st.sets(st.integers(0, count - 1)))
        arrays = predicted.rows(count, poisoned=bad)
        with TemporaryDirectory(dir=tmp_path) as name:
            np.savez(Path(name) / "rows.npz", **arrays)
            request = PredictRequest(
                artifact, Path(name) / "rows.npz", Path(name) / "out", trust, shard_rows=size, batch_size=batch,
                crew=predicted.InlineCrew,
            )  # fmt: skip
            summary = predict(request)
            found = list(predictions.read(Path(name) / "out"))
            faults = predictions.errors(Path(name) / "out")
        rows = [int(row) for part in found for row in part.rows]
        assert rows == [row for row in range(count) if row not in bad]
        assert list(faults) == sorted(bad)
        assert (summary["predicted"], summary["failed"]) == (len(rows), len(bad))
        for part in found:
            assert np.array_equal(part.outputs["embedding"], predicted.TABLE[arrays["ids"][part.rows]])

    check()


def test_a_shard_is_written_with_its_record_and_costs_are_told(
    worker: Callable[..., ShardWorker], tmp_path: Path
) -> None:
    record = worker(10, poisoned=(4,)).shard(Span(0, 0, 10), {7: "its worker died"})
    assert not isinstance(record, Abandoned)
    assert record == read_shard(tmp_path, 0)
    assert [(fault.row, fault.error.split(":")[0]) for fault in record.faults] == [
        (4, "ONNX Runtime could not run the model"), (7, "its worker died"),
    ]  # fmt: skip
    assert record.predicted == 8
    assert record.seconds > 0
    assert record.cpu_seconds > 0


def test_with_more_errors_than_are_accepted_nothing_is_written(
    worker: Callable[..., ShardWorker], tmp_path: Path
) -> None:
    given_up = worker(10, poisoned=(1, 2, 6), max_errors=1).shard(Span(0, 0, 10), {})
    assert isinstance(given_up, Abandoned)
    assert [fault.row for fault in given_up.faults] == [1, 2]
    assert list((tmp_path / SHARDS).iterdir()) == []


def test_rows_in_flight_are_noted_and_no_more_when_the_shard_is_done(
    worker: Callable[..., ShardWorker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, flight = worker(10), Flight(tmp_path / "flight")
    seen = []
    monkeypatch.setattr(made._answering, "answers", lambda rows: seen.append(flight.rows) or {})
    made.attempt([1, 3])
    assert (seen, flight.rows) == ([range(1, 4)], range(0))
    assert Flight(tmp_path / "none").rows == range(0)


def test_a_full_disk_is_an_error_that_says_so(
    worker: Callable[..., ShardWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shard_file, "write", full)
    with pytest.raises(OutputError, match="No space left on device"):
        worker(5).shard(Span(0, 0, 5), {})
