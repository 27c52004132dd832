"""What else may be shipped while the chain is at work: who counts, who is faster, and what is not even looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from campaign_parts import figures, model, recipe
from deployables import in_runtime

from mlopt.core.errors import MeasureError, ModelError
from mlopt.core.target import Objective
from mlopt.formats.model import ONNX
from mlopt.results.timing import Rival
from mlopt.run import rivals
from mlopt.run.probe import Liveness
from mlopt.run.quality import Judged, QualityGates
from mlopt.run.rivals import Rivals
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.base import Deployable, Runtime, RuntimeOptions

HERE, THERE = "onnxruntime", "other"


def nothing(*_: Any) -> Any:
    raise AssertionError("nobody opens a toy")


class Toy:
    """Two runtimes, what a model takes in each (ms; None: it cannot be run), and what the gates say in the other."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = Runtime(THERE, frozenset({ONNX}), RuntimeOptions, nothing)
        monkeypatch.setattr(runtimes, "BUILTIN", (*runtimes.BUILTIN, other))
        monkeypatch.setattr(rivals.first_look, "look", self.look)
        monkeypatch.setattr("mlopt.run.rivals.patience", lambda *_: 60.0)
        self.best, self.made = in_runtime(model(folder, "net")), in_runtime(model(folder, "made"))
        self.ms: Mapping[str, float | None] = {HERE: 3.0, THERE: 1.0, "made": 2.0}
        self.objection: str | None = None
        self.dead: str | None = None
        self.looked: list[str] = []
        self.recipe, self.evaluator = recipe(), figures(folder)
        self.known = Rivals(cast(QualityGates, self), cast(Liveness, SimpleNamespace(died=lambda _one: self.dead)))

    def look(self, candidate: Any, *_: Any, **__: Any) -> Any:
        one: Deployable = candidate.deployable
        name = one.runtime if one.model.digest == self.best.model.digest else "made"
        self.looked.append(name)
        if (ms := self.ms[name]) is None:
            raise ModelError("it is refused")
        return SimpleNamespace(ms=ms)

    def preferred(self, one: Deployable) -> Deployable:
        return one

    def of(self, _one: Deployable) -> Judged:
        return Judged(self.objection)

    def rival(self, *made: Deployable) -> Rival | None:
        return self.known.of(self.best, [THERE], made)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    return Toy(tmp_path, monkeypatch)


def test_the_fastest_of_all_is_told(toy: Toy) -> None:
    assert toy.rival(toy.made) == Rival("the model as it is, in other", 3.0)
    toy.ms = {**toy.ms, THERE: 2.5}
    again = Rivals(toy.known.quality, toy.known.probe)
    assert again.of(toy.best, [THERE], [toy.made]) == Rival("what the passes came to in onnxruntime", 1.5)


def test_each_is_looked_at_once(toy: Toy) -> None:
    toy.rival(toy.made)
    toy.rival(toy.made)
    assert sorted(toy.looked) == ["made", HERE, THERE]


@pytest.mark.parametrize("ms", [3.0, 4.0, None])
def test_what_is_no_faster_or_cannot_be_run_is_no_rival(toy: Toy, ms: float | None) -> None:
    toy.ms = {**toy.ms, THERE: ms}
    assert toy.rival() is None


def test_what_does_not_keep_the_gates_is_none(toy: Toy) -> None:
    toy.objection = "cosine is too low"
    assert toy.rival() is None
    assert THERE not in toy.looked


def test_nor_is_what_crashes(toy: Toy) -> None:
    toy.dead = "it was ended by SIGSEGV"
    assert toy.rival() is None


def test_a_runtime_that_cannot_be_asked_takes_nothing_along(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(_one: Deployable) -> Deployable:
        raise MeasureError("the runtime could not be asked")

    monkeypatch.setattr(toy, "preferred", raises)
    assert toy.rival() is None


def test_a_runtime_for_other_kinds_is_passed_over(toy: Toy) -> None:
    toy.best = replace(toy.best, model=replace(toy.best.model, kind="engine"))
    assert toy.rival() is None


@pytest.mark.parametrize("objective", [Objective.SIZE, Objective.THROUGHPUT])
def test_only_latency_is_what_is_looked_at(toy: Toy, objective: Objective) -> None:
    toy.recipe = toy.recipe.model_copy(update={"objective": objective})
    assert toy.rival() is None
    assert toy.looked == []


@pytest.mark.parametrize("metric", ["size_mb", "size.ratio", "peak_rss_mb", "cold_start.load_ms"])
def test_a_gate_on_what_is_not_looked_at_leaves_no_rival(toy: Toy, metric: str) -> None:
    toy.recipe = recipe(({"metric": metric, "max": 10},))
    assert toy.rival() is None
