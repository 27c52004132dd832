"""Measuring between real processes: real models, and processes that crash, hang, are killed or raise."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import TensorProto, helper

from mlopt.core.errors import ModelError
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure import latency
from mlopt.measure.candidate import Candidate, Measured, Run
from mlopt.measure.latency import Patience, Schedule, measure
from mlopt.results.figures import ColdStart

pytestmark = pytest.mark.process

pytestmark = pytest.mark.process

QUICK = Schedule(seconds=0.02, rounds=7, max_time=60, least=20)
PATIENCE = Patience(opening=30, answer=2)


@pytest.fixture(autouse=True)
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about time, so nobody else's measuring is waited for."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    values = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    return store(Samples({"x": values}), tmp_path_factory.mktemp("samples"), "random")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
    )  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "relu.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return open_onnx(path)


class Actor:
    """Stands in for ``Bench`` and does what the candidate's name says, in the block that it names: ``kill@3``.

    ``once`` behind it means that the process that takes its place behaves.
    """

    def __init__(self, candidate: Candidate, _: Dataset) -> None:
        self._deed, _, when = candidate.name.partition("@")
        number, _, once = when.partition(" ")
        self._when, self._blocks = int(number or -1), 0
        marker = candidate.model.path.parent / f"{candidate.name}.seen"
        if once and marker.exists():
            self._when = -1
        marker.touch()
        self._act(0)

    def cold_start(self) -> ColdStart:
        return ColdStart(load_ms=1.0, first_ms=0.1)

    def warm_up(self) -> None:
        """There is nothing to warm."""

    def peak_rss_bytes(self) -> int:
        return 1000

    def block(self, seconds: float, least: int, settle: bool) -> list[float]:
        self._blocks += 1
        self._act(self._blocks)
        return [1.0] * least

    def _act(self, number: int) -> None:
        if number != self._when:
            return
        deeds = {
            "exit": lambda: os._exit(3),
            "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
            "hang": lambda: time.sleep(600),
            "raise": self._raise,
            "refuse": self._refuse,
        }
        deeds[self._deed]()

    def _raise(self) -> None:
        raise ZeroDivisionError("one by zero")

    def _refuse(self) -> None:
        raise ModelError("ONNX Runtime could not run the model", got="x: float32[3]")


def acted(
    names: list[str], model: Model, samples: Dataset, monkeypatch: pytest.MonkeyPatch, patience: Patience = PATIENCE
) -> Run:
    monkeypatch.setattr(latency, "Bench", Actor)
    candidates = [Candidate(name, in_runtime(model)) for name in names]
    return measure(candidates, samples, QUICK, notify=lambda _, __: None, patience=patience)


@pytest.fixture
def fresh(model: Model, tmp_path: Path) -> Model:
    """The model, in a folder where nobody has been seen yet."""
    copy = tmp_path / "relu.onnx"
    copy.write_bytes(model.path.read_bytes())
    return open_onnx(copy)


CAUSES = {  # a process that takes another's place counts its blocks anew
    "exit@3": "it exited with code 3, in round 3, for the second time",
    "kill@3": "it was ended by SIGKILL (out of memory?), in round 3, for the second time",
    "segfault@4": "it was ended by SIGSEGV (a crash in native code), in round 4, for the second time",
    "raise@3": "ZeroDivisionError: one by zero, in round 2",
    "refuse@3": "ONNX Runtime could not run the model: x: float32[3], in round 2",
    "exit@0": "it exited with code 3, when it was opened",
    "raise@0": "ZeroDivisionError: one by zero, when it was opened",
}


def test_what_dies_is_told_with_its_cause_and_takes_nothing_along(
    fresh: Model, samples: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = acted(["good", *CAUSES, "fine"], fresh, samples, monkeypatch)
    assert run.lost == CAUSES
    assert set(run.measured) == {"good", "fine"}
    assert all(len(each.blocks) == 14 for each in run.measured.values())
    assert set(run.partial) == {name for name in CAUSES if "@0" not in name}
    assert len(run.partial["raise@3"].blocks) == 2
    assert len(run.partial["kill@3"].blocks) == 4
    assert set(run.blocks) == set(run.measured) | set(run.partial)


def test_a_process_that_was_killed_once_is_replaced_and_noted(
    fresh: Model, samples: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = acted(["kill@5 once", "good"], fresh, samples, monkeypatch)
    assert run.lost == {}
    assert len(run.measured["kill@5 once"].blocks) == len(run.measured["good"].blocks) == 14
    (note,) = run.notes
    assert note.startswith("kill@5 once: it was ended by SIGKILL (out of memory?), in round 3; a new process")


def test_what_hangs_is_ended(fresh: Model, samples: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    patience = Patience(opening=30, answer=2.5)
    run = acted(["hang@2", "good"], fresh, samples, monkeypatch, patience)
    assert run.lost == {"hang@2": "it did not answer for 2.5 s and was ended, in round 2, for the second time"}
    assert len(run.measured["good"].blocks) == 14


def test_what_hangs_when_it_is_opened_is_ended(fresh: Model, samples: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    run = acted(["hang@0", "good"], fresh, samples, monkeypatch, Patience(opening=5, answer=5))
    assert run.lost == {"hang@0": "it did not answer for 5 s and was ended, when it was opened"}
    assert set(run.measured) == {"good"}


def test_a_lost_candidate_keeps_its_first_look(fresh: Model, samples: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "Bench", Actor)
    candidates = [Candidate(name, in_runtime(fresh)) for name in ("refuse@16", "good")]
    schedule = Schedule(seconds=0.02, rounds=7, max_time=60, least=20)
    asked: list[set[str]] = []

    def undecided(measured: Mapping[str, Measured]) -> set[str]:
        asked.append(set(measured))
        return {"refuse@16", "good"} if len(asked) == 1 else set()

    run = measure(candidates, samples, schedule, notify=lambda _, __: None, undecided=undecided)
    assert asked == [{"refuse@16", "good"}] * 2
    assert run.lost == {"refuse@16": "ONNX Runtime could not run the model: x: float32[3], in round 15"}
    assert (len(run.measured["refuse@16"].blocks), len(run.measured["good"].blocks)) == (28, 42)
    assert (run.looks, run.looks_planned, run.rounds, run.stopped) == (2, 3, 21, "decided")


def test_real_models_are_measured(model: Model, samples: Dataset) -> None:
    crowd = Candidate("crowd", in_runtime(model), batch_size=4, concurrency=3)
    run = measure([Candidate("one", in_runtime(model)), crowd], samples, QUICK, notify=lambda _, __: None)
    assert (run.lost, run.notes, run.looks, run.looks_planned, run.stopped) == ({}, (), 1, 1, "looks")
    for each in run.measured.values():
        assert len(each.blocks) == 14
        assert all(len(block) >= 2 and min(block) > 0 for block in each.blocks)
        assert each.cold_start.load_ms > 0
        assert each.cold_start.first_ms > 0
        assert 10e6 < each.peak_rss_bytes < 1e9


def test_a_model_that_cannot_be_opened_is_lost_alone(model: Model, samples: Dataset) -> None:
    gone = replace(model, path=model.path.with_name("gone.onnx"))
    run = measure([Candidate("good", in_runtime(model)), Candidate("bad", in_runtime(gone))], samples, QUICK,
                  notify=lambda _, __: None)  # fmt: skip
    assert set(run.measured) == {"good"}
    assert run.lost["bad"].endswith("when it was opened")


def test_waiting_is_told_only_where_there_is_something_to_wait_for() -> None:
    said: list[str] = []
    waiting = threading.Event()

    def told(detail: str, _share: float) -> None:
        said.append(detail)
        waiting.set()

    def second() -> None:
        with latency.alone(told):
            said.append("second")

    with latency.alone(told):
        other = threading.Thread(target=second)
        other.start()
        assert waiting.wait(10)
        said.append("first")
    other.join(10)
    assert said == ["waiting for other measurements on this machine to end", "first", "second"]
