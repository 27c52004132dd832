"""The crew of this machine: workers that die cost the rows they died of, and an end ends all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import predicted
import pytest

from mlopt.core.errors import IntegrityError, MeasureError
from mlopt.core.worker import WorkerDiedError
from mlopt.predict import crew
from mlopt.predict.crew import Hand, LocalCrew
from mlopt.predict.records import SHARDS, ShardRecord
from mlopt.predict.shard_worker import Abandoned, ShardWork
from mlopt.predict.shards import Span, cut

pytestmark = pytest.mark.process
COUNT = 24


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ShardWork]:
    """``work(deadly, max_errors)``: for workers that are killed where a row is deadly."""
    monkeypatch.setattr(crew, "ShardWorker", predicted.DyingShards)
    artifact = predicted.artifact(tmp_path / "words")
    (tmp_path / SHARDS).mkdir()
    for name, array in predicted.rows(COUNT).items():
        np.save(tmp_path / f"{name}.npy", array)

    def told(deadly: str = "", max_errors: int = 100) -> ShardWork:
        monkeypatch.setenv(predicted.DEADLY, deadly)
        inputs = {name: tmp_path / f"{name}.npy" for name in ("ids", "x")}
        return ShardWork(artifact, artifact, inputs, tmp_path, run="r" * 64, batch_size=4, max_errors=max_errors)

    return told


def test_each_shard_comes_back_once_though_rows_kill_workers(work: Callable[..., ShardWork], tmp_path: Path) -> None:
    found = list(LocalCrew(2).compute(work("5,6"), cut(COUNT, 8), tmp_path / "workers"))
    records = sorted((each for each in found if isinstance(each, ShardRecord)), key=lambda each: each.number)
    assert [(each.start, each.predicted) for each in records] == [(0, 6), (8, 8), (16, 8)]
    assert [fault.row for each in records for fault in each.faults] == [5, 6]


def test_more_deaths_than_are_accepted_give_the_shard_up(work: Callable[..., ShardWork], tmp_path: Path) -> None:
    (found,) = LocalCrew(1).compute(work("1,2,9,10", max_errors=1), [Span(0, 0, COUNT)], tmp_path / "workers")
    assert isinstance(found, Abandoned)
    assert [fault.row for fault in found.faults] == [1, 2]


def test_a_worker_that_dies_again_and_again_for_no_row_is_an_error(
    work: Callable[..., ShardWork], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = work()
    with Hand(told, tmp_path / "worker") as hand:
        asked = []

        def dies(method: str, *_: object) -> None:
            asked.append(method)
            raise WorkerDiedError("it was ended by SIGKILL")

        monkeypatch.setattr(hand, "_ask", dies)
        with pytest.raises(MeasureError, match="a worker died 3 times, and no row alone is the reason"):
            hand.shard(Span(0, 0, 8))
    assert asked == ["shard"] * 3


def test_an_error_of_a_worker_is_raised_here(work: Callable[..., ShardWork], tmp_path: Path) -> None:
    told = work()
    (told.artifact / "mlopt.json").write_text("{}")
    with pytest.raises(IntegrityError, match="not the manifest"):
        list(LocalCrew(2).compute(told, cut(COUNT, 4), tmp_path / "workers"))


def test_whoever_takes_no_more_shards_ends_the_workers(work: Callable[..., ShardWork], tmp_path: Path) -> None:
    outcomes = LocalCrew(2).compute(work(), cut(COUNT, 1), tmp_path / "workers")
    next(outcomes)
    outcomes.close()
    assert len(list((tmp_path / SHARDS).glob("*.json"))) < COUNT


def test_a_stopped_hand_starts_no_worker(work: Callable[..., ShardWork], tmp_path: Path) -> None:
    with Hand(work(), tmp_path / "worker") as hand:
        hand.stop()
        with pytest.raises(WorkerDiedError, match="it was stopped"):
            hand.shard(Span(0, 0, 4))
