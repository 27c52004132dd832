"""What a search is told of speed: against the faster copy of the model, within its time, and without what died."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_models import dense
from campaign_parts import run_of
from deployables import in_runtime

from mlopt.core.errors import MeasureError
from mlopt.data.dataset import Samples, store
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure import compare
from mlopt.measure.benchmarker import Benchmarker
from mlopt.measure.candidate import Candidate, Measured, Run
from mlopt.measure.schedule import Schedule
from mlopt.results.figures import ColdStart
from mlopt.runtimes.base import RuntimeOptions


class Engine:
    """Stands in for ``compare``: gives each candidate blocks of its pace, and remembers what it was asked."""

    def __init__(
        self, paces: Mapping[str, float], lost: Mapping[str, str] = {}, noise: float = 0.0,
        waits: Mapping[str, float] = {},
    ) -> None:  # fmt: skip
        self.paces, self.lost, self.noise, self.waits = paces, lost, noise, waits
        self.asked: list[tuple[Candidate, ...]] = []
        self.schedules: list[Schedule] = []
        self.undecided: list[set[str]] = []

    def __call__(
        self, candidates: Sequence[Candidate], _: Any, schedule: Schedule, *, copies: tuple[str, str],
        undecided: Callable[[Mapping[str, Measured]], Any] | None, **__: Any,
    ) -> Run:  # fmt: skip
        assert {*copies} <= {each.name for each in candidates}
        self.asked.append(tuple(candidates))
        self.schedules.append(schedule)
        found = {each.name: self._measured(each, schedule.rounds) for each in candidates if each.name not in self.lost}
        self.undecided.append(set(undecided(found) if undecided else ()))
        return run_of(tuple(candidates), self.lost, measured=found)

    def _measured(self, candidate: Candidate, rounds: int) -> Measured:
        pace = self.paces[candidate.name] * (
            1 + self.noise * np.random.default_rng(list(candidate.name.encode())).standard_normal(2 * rounds)
        )
        blocks = tuple((float(value), float(value), self.waits.get(candidate.name, float(value))) for value in pace)
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


COPIES = {"as it is": 4.0, "as it is (again)": 4.0}


def ways(benchmarker: Benchmarker, *names: str) -> dict[str, RuntimeOptions]:
    options = benchmarker.deployable.options
    return {name: options.model_copy(update={"threads": 10 + number}) for number, name in enumerate(names)}


def test_options_are_raced_on_one_model_beside_two_copies_of_it_as_it_is(
    benchmarker: Benchmarker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "compare", engine := Engine({**COPIES, "as it is (again)": 3.6, "a": 1.8, "b": 4.5}))
    race = benchmarker.race_options(ways(benchmarker, "a", "b"), seconds=0.4, clients=3)
    assert [race.speeds[name].median for name in "ab"] == pytest.approx([2.0, 0.8])
    assert (race.control.median, dict(race.lost)) == (pytest.approx(4 / 3.6), {})
    assert race.gains("a")
    (asked,) = engine.asked
    assert {each.model.digest for each in asked} == {benchmarker.deployable.model.digest}
    assert [each.options.threads for each in asked] == [2, 2, 10, 11]
    assert {(each.concurrency, each.batch_size) for each in asked} == {(3, 2)}


def test_a_heat_is_one_look_and_the_last_race_looks_again_at_what_may_be_a_gain(
    benchmarker: Benchmarker, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {**COPIES, "a": 3.2, "b": 1.0}
    monkeypatch.setattr(compare, "compare", engine := Engine(paces, noise=0.3))
    heat = benchmarker.race_options(ways(benchmarker, "a", "b"), seconds=0.4)
    last = benchmarker.race_options(ways(benchmarker, "a", "b"), seconds=2.0, max_time=30.0)
    assert engine.undecided == [set(), {"a"}]
    assert [(each.seconds, each.looks, each.max_time) for each in engine.schedules] == [(0.4, 1, 0.0), (2.0, 2, 30.0)]
    assert heat.speeds["a"].median == last.speeds["a"].median
    assert last.speeds["a"].low < heat.speeds["a"].low  # its intervals hold for both, and for both looks


def test_there_are_rounds_enough_for_intervals_that_hold_for_many(
    benchmarker: Benchmarker, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"way {number}" for number in range(40)]
    monkeypatch.setattr(compare, "compare", engine := Engine({**COPIES, **dict.fromkeys(names, 2.0)}))
    race = benchmarker.race_options(ways(benchmarker, *names), seconds=2.0, max_time=30.0)
    assert all(race.gains(name) for name in names)
    assert engine.schedules[0].rounds > 10


@pytest.mark.parametrize(("clients", "slower"), [(1, 1.0), (2, 3.0)])
def test_of_several_clients_the_mean_counts_which_is_throughput(
    benchmarker: Benchmarker, monkeypatch: pytest.MonkeyPatch, clients: int, slower: float
) -> None:
    """One in three waits long: the median of a single client's times does not show it."""
    monkeypatch.setattr(compare, "compare", Engine({**COPIES, "a": 4.0}, waits={"a": 28.0}))
    race = benchmarker.race_options(ways(benchmarker, "a"), seconds=0.4, clients=clients)
    assert race.speeds["a"].median == pytest.approx(1 / slower)


def test_options_with_which_it_does_not_open_are_told_and_the_model_as_it_is_may_not_be_lost(
    benchmarker: Benchmarker, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {**COPIES, "a": 2.0, "b": 2.0}
    monkeypatch.setattr(compare, "compare", Engine(paces, {"b": "it died"}))
    race = benchmarker.race_options(ways(benchmarker, "a", "b"), seconds=0.4)
    assert (set(race.speeds), dict(race.lost)) == ({"a"}, {"b": "it died"})
    monkeypatch.setattr(compare, "compare", Engine(paces, {"as it is (again)": "it was ended by SIGKILL"}))
    with pytest.raises(MeasureError, match="the model as it is could not be measured") as caught:
        benchmarker.race_options(ways(benchmarker, "a"), seconds=0.4)
    assert caught.value.problems[0].got == "it was ended by SIGKILL"
