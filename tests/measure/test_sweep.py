"""A sweep: every model at every load that it can take, so many processes at a time, and what is missing is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaign_parts import model, run_of
from deployables import in_runtime

from mlopt.data.dataset import Dataset, Samples, store
from mlopt.measure import sweep
from mlopt.measure.candidate import Candidate, Run
from mlopt.measure.sweep import Load


class Engine:
    """Stands in for ``measure``: remembers which candidates are open at once, and loses those that it is told to."""

    def __init__(self, lost: Sequence[str] = ()) -> None:
        self.groups: list[tuple[Candidate, ...]] = []
        self._lost = lost

    def __call__(self, candidates: Sequence[Candidate], *_: Any, notify: Any, **__: Any) -> Run:
        self.groups.append(tuple(candidates))
        notify("half", 0.5)
        lost = {each.name: "it died" for each in candidates if each.name in self._lost}
        return run_of(tuple(candidates), lost)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return store(Samples({"x": np.zeros((8, 4), np.float32)}), tmp_path / "data", "made")


def quiet(_detail: str, _share: float) -> None:
    """Say nothing."""


def test_a_load_says_what_it_changes_and_leaves_the_rest(tmp_path: Path) -> None:
    one = Candidate("net", in_runtime(model(tmp_path, "net"), threads=2))
    assert Load(8, None, 3).on(one).options.threads == 2
    loaded = Load(8, 1, 3).on(one)
    assert (loaded.name, loaded.options.threads, loaded.batch_size, loaded.concurrency) == ("net", 1, 8, 3)
    assert [str(Load(8, None, 3)), str(Load(8, 1, 3))] == [
        "batch 8, concurrency 3",
        "batch 8, threads 1, concurrency 3",
    ]


def test_every_model_is_measured_at_every_load(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "measure", engine := Engine())
    names = ("one", "other")
    candidates = [Candidate(name, in_runtime(model(tmp_path, name))) for name in names]
    loads = [Load(size, threads, clients) for size in (1, 4) for threads in (1, 2) for clients in (1, 2, 3)]
    said: list[float] = []
    points, notes = sweep.sweep(candidates, loads, dataset, lambda _detail, share: said.append(share))
    assert [(p.name, p.batch_size, p.threads, p.concurrency) for p in points] == [
        (name, load.batch_size, load.threads, load.concurrency) for name in names for load in loads
    ]
    assert notes == ()
    for point in points:
        rate = 1e3 * point.batch_size * point.concurrency / point.latency_ms.mean
        assert point.throughput_per_s == pytest.approx(rate)
    assert [len(group) for group in engine.groups] == [16, 8]  # no more are open at once
    assert said == pytest.approx([8 / 12 / 2, 8 / 12 + 4 / 12 / 2])


def test_a_load_that_a_model_cannot_take_is_left_out_and_told(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "measure", engine := Engine())
    fixed = Candidate("fixed", in_runtime(model(tmp_path, "fixed", batch=2)))
    points, notes = sweep.sweep([fixed], [Load(1), Load(2), Load(8)], dataset, quiet)
    assert [point.batch_size for point in points] == [2]
    assert notes == ("fixed: batch 1, 8 left out, since it takes 2 in one inference, always",)
    assert sweep.sweep([fixed], [Load(8)], dataset, quiet)[0] == ()
    assert len(engine.groups) == 1


def test_a_point_that_was_lost_leaves_the_others(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = "net at batch 4, concurrency 1"
    monkeypatch.setattr(sweep, "measure", Engine([lost]))
    points, notes = sweep.sweep(
        [Candidate("net", in_runtime(model(tmp_path, "net")))], [Load(1), Load(4)], dataset, quiet
    )
    assert [point.batch_size for point in points] == [1]
    assert notes == (f"{lost} was lost: it died",)
