"""What a search is told of speed: against the faster copy of FP32, within its time, and without what died."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_models import dense
from campaign_parts import run_of
from deployables import in_runtime

from mlopt.compress.quantization.benchmarker import Benchmarker
from mlopt.core.errors import MeasureError
from mlopt.data.dataset import Samples, store
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure import compare
from mlopt.measure.candidate import Candidate, Measured, Run
from mlopt.measure.schedule import Schedule
from mlopt.results.figures import ColdStart


class Engine:
    """Stands in for ``compare``: gives each candidate blocks of its pace, and remembers what it was asked."""

    def __init__(self, paces: Mapping[str, float], lost: Mapping[str, str] = {}, noise: float = 0.0) -> None:
        self.paces, self.lost, self.noise = paces, lost, noise
        self.asked: list[tuple[Candidate, ...]] = []
        self.schedules: list[Schedule] = []
        self.undecided: list[set[str]] = []

    def __call__(
        self, candidates: Sequence[Candidate], _: Any, schedule: Schedule, *, copies: tuple[str, str],
        undecided: Callable[[Mapping[str, Measured]], Any], **__: Any,
    ) -> Run:  # fmt: skip
        assert {*copies} <= {each.name for each in candidates}
        self.asked.append(tuple(candidates))
        self.schedules.append(schedule)
        found = {each.name: self._measured(each) for each in candidates if each.name not in self.lost}
        self.undecided.append(set(undecided(found)))
        return run_of(tuple(candidates), self.lost, measured=found)

    def _measured(self, candidate: Candidate) -> Measured:
        pace = self.paces[candidate.name] * (
            1 + self.noise * np.random.default_rng(list(candidate.name.encode())).standard_normal(20)
        )
        blocks = tuple((float(value),) * 3 for value in pace)
        return Measured(candidate, blocks, 1, ColdStart(load_ms=1.0, first_ms=1.0))


@pytest.fixture
def benchmarker(tmp_path: Path) -> Benchmarker:
    data = store(Samples({"x": np.zeros((4, 64), np.float32)}), tmp_path / "data", "made")
    return Benchmarker(in_runtime(open_onnx(dense(tmp_path / "fp32.onnx")), threads=2), data, 2, tmp_path)


@pytest.fixture
def versions(tmp_path: Path) -> dict[str, Path]:
    return {name: dense(tmp_path / f"{name}.onnx", layers=2) for name in ("0", "1")}


def test_a_version_is_held_against_the_faster_of_two_copies(
    benchmarker: Benchmarker, versions: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "compare", Engine({"fp32": 4.0, "control": 3.6, "0": 1.8, "1": 4.5}))
    speeds = benchmarker.race(versions, 60.0)
    assert set(speeds) == {"0", "1"}
    assert [speeds[name].median for name in "01"] == pytest.approx([2.0, 0.8])
    assert [speeds[name].faster for name in "01"] == [True, False]


def test_all_are_opened_as_the_model_is_and_share_the_time(
    benchmarker: Benchmarker, versions: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = dict.fromkeys(("fp32", "control", "0", "1"), 1.0)
    monkeypatch.setattr(compare, "compare", engine := Engine(paces))
    benchmarker.race(versions, 60.0)
    benchmarker.race(versions, 4.0)
    benchmarker.race(versions, 0.01)
    assert [schedule.seconds for schedule in engine.schedules] == [2.0, 1.0, 0.2]
    assert [schedule.max_time for schedule in engine.schedules] == [60.0, 4.0, 0.01]
    for each in engine.asked[0]:
        assert (each.options, each.batch_size) == (benchmarker.deployable.options, 2)


def test_only_a_gain_that_noise_may_have_made_is_looked_at_again(
    benchmarker: Benchmarker, versions: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {"fp32": 4.0, "control": 4.0, "0": 3.2, "1": 1.0}
    monkeypatch.setattr(compare, "compare", engine := Engine(paces, noise=0.3))
    speeds = benchmarker.race(versions, 60.0)
    assert (speeds["0"].faster, speeds["1"].faster) == (False, True)
    assert speeds["0"].median > 1.03
    assert engine.undecided == [{"0"}]
    monkeypatch.setattr(compare, "compare", quiet := Engine(paces))
    benchmarker.race(versions, 60.0)
    assert quiet.undecided == [set()]


def test_a_version_that_died_is_left_out_and_the_model_may_not_be(
    benchmarker: Benchmarker, versions: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {"fp32": 4.0, "control": 4.0, "0": 2.0, "1": 2.0}
    monkeypatch.setattr(compare, "compare", Engine(paces, {"1": "it died", "control": "it died"}))
    assert set(benchmarker.race(versions, 60.0)) == {"0"}
    monkeypatch.setattr(compare, "compare", Engine(paces, {"fp32": "it was ended by SIGKILL"}))
    with pytest.raises(MeasureError, match="the FP32 model could not be measured") as caught:
        benchmarker.race(versions, 60.0)
    assert caught.value.problems[0].got == "it was ended by SIGKILL"
