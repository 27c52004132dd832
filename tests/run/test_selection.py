"""The search for what to ship, with looks, judgements and races that are made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from campaign_parts import figures, model, recipe, run_of
from hypothesis import given
from hypothesis import strategies as st

from mlopt.core.errors import MeasureError, ModelError
from mlopt.gate.limits import Gate
from mlopt.measure.candidate import Candidate, Measured, Run
from mlopt.measure.evaluate import Evaluator
from mlopt.measure.first_look import Look
from mlopt.results.figures import ColdStart
from mlopt.run import selection
from mlopt.run.forms import Entrant, Form, Selected
from mlopt.run.outcomes import Way
from mlopt.run.quality import Judged, QualityGates
from mlopt.run.selection import Selection, in_contention
from mlopt.runtimes.base import Deployable, RuntimeOptions

HALF = {"y": np.tile(np.eye(2), (4, 1))}


@dataclass
class World:
    """Entrants by name: how long each takes (ms; None: it cannot be opened), and what the gates say."""

    folder: Path
    ms: Mapping[str, float | None]
    objections: Mapping[str, str] = field(default_factory=dict)
    wrong: Sequence[str] = ()
    flat: Sequence[str] = ()
    lost: Sequence[str] = ()
    """In races."""
    owed: Sequence[str] = ()
    unchanged: Sequence[str] = ()
    heavy: Sequence[str] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    objective: str = "latency"
    race_ms: Mapping[str, float] = field(default_factory=dict)
    judged: list[str] = field(default_factory=list)
    raced: list[str] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)

    def entrant(self, name: str) -> Entrant:
        path = self.folder / f"{name}.onnx"
        path.write_bytes(b"x" * self.sizes.get(name, 1))
        made = model(self.folder, name)
        path.write_bytes(b"x" * self.sizes.get(name, 1))
        deployable = Deployable(made, "onnxruntime", RuntimeOptions(threads=1))
        form = Form(name, deployable, Way("onnxruntime", deployable, ()), None, name not in self.owed,
                    name in self.unchanged)  # fmt: skip
        return Entrant(form, deployable, name not in self.owed)

    @contextmanager
    def looks(self, _few: Any, _log: Path) -> Iterator[Any]:
        yield SimpleNamespace(at=self.look)

    def look(self, candidate: Candidate, *, patience: float) -> Look:
        name = candidate.model.path.stem
        self.looked.append(name)
        assert patience > 60
        ms = self.ms[name]
        if ms is None:
            raise ModelError("it is refused", got="an operator")
        sign = -1.0 if name in self.wrong else 1.0
        answers = {"y": "float32 of rank 1" if name in self.flat else "float32 of rank 2"}
        return Look({"y": sign * HALF["y"]}, answers, ms)

    def of(self, judged: Deployable) -> Judged:
        self.judged.append(judged.model.path.stem)
        return Judged(self.objections.get(judged.model.path.stem))

    def too_large(self, judged: Deployable, _baseline: Deployable) -> str | None:
        return "too large" if judged.model.path.stem in self.heavy else None

    def compare(self, candidates: Sequence[Candidate], *_: Any, undecided: Callable[..., Any], **__: Any) -> Run:
        self.raced = [each.model.path.stem for each in candidates][1:]
        rng = np.random.default_rng(0)

        def blocks(candidate: Candidate) -> tuple[tuple[float, ...], ...]:
            name = candidate.model.path.stem
            pace = self.race_ms.get(name, self.ms.get(name) or 10.0)
            return tuple(tuple(float(v) for v in pace * rng.uniform(0.99, 1.01, 5)) for _ in range(16))

        lost = {each.name: "it was ended by SIGSEGV" for each in candidates if each.model.path.stem in self.lost}
        measured = {
            each.name: Measured(each, blocks(each), 1, ColdStart(load_ms=1, first_ms=1))
            for each in candidates if each.name not in lost
        }  # fmt: skip
        undecided(measured)
        return Run(**{**vars(run_of(())), "measured": measured, "lost": lost})

    def run(self, monkeypatch: pytest.MonkeyPatch, dead: Mapping[str, str] = {}) -> Selected:
        monkeypatch.setattr(selection, "Looks", self.looks)
        monkeypatch.setattr(selection.compare, "compare", self.compare)
        evaluator = figures(self.folder)
        monkeypatch.setattr(type(evaluator), "reference", HALF, raising=False)
        monkeypatch.setattr(type(evaluator), "batch_size", 1, raising=False)
        monkeypatch.setattr(type(evaluator), "source_seconds", 1.0, raising=False)
        gates = cast(Any, self)
        gates.recipe = recipe().model_copy(update={"objective": selection.Objective(self.objective)})
        gates.first = "onnxruntime"
        gates.gates = [Gate(metric="fidelity.cosine", min=0.99)]
        gates.plainly_wrong = 0.98
        return Selection(
            [self.entrant(name) for name in self.ms], self.entrant("base").deployable, cast(Evaluator, evaluator),
            cast(QualityGates, gates), dead, 60.0, lambda _text, _share: None,
        ).run()  # fmt: skip


def shipped(found: Selected) -> str | None:
    return found.shipped.form.name if found.shipped else None


def why(found: Selected) -> dict[str, str | None]:
    return {each.model: each.why_not for each in found.tried}


def test_the_fastest_that_keeps_the_gates_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, {"a": 5.0, "b": 1.0, "c": 2.0}, {"b": "cosine is too low"})
    found = world.run(monkeypatch)
    assert shipped(found) == "c"
    assert why(found) == {"a": "slower at first sight", "b": "cosine is too low", "c": None}
    assert world.raced == []  # nobody is near
    assert world.judged == ["b", "c"]  # what could not be as fast is not even judged


def test_a_few_are_judged_although_they_seem_slower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ms = {"a": 1.0, "b": 1.4, "c": 1.45, "d": 1.48, "e": 1.6}
    found = (world := World(tmp_path, ms)).run(monkeypatch)
    assert (shipped(found), [each.form.name for each in found.finalists]) == ("a", ["b", "c"])
    assert (world.judged, world.raced) == (["a", "b", "c"], [])  # so few are measured with the release at once
    assert str(why(found)["b"]).startswith("no look tells it from the one that is shipped")
    assert why(found)["d"] == "slower at first sight"


def test_of_those_about_as_fast_what_the_whole_chain_came_to_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Form, "last", property(lambda form: form.name == "c"))
    assert shipped(World(tmp_path, {"a": 1.0, "b": 1.001, "c": 1.002}).run(monkeypatch)) == "c"
    assert shipped(World(tmp_path, {"a": 1.0, "b": 1.001, "c": 1.1}).run(monkeypatch)) == "a"


def test_what_cannot_be_run_or_is_plainly_wrong_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, {"a": None, "b": 1.0, "c": 2.0}, wrong=["b"])
    found = world.run(monkeypatch)
    assert shipped(found) == "c"
    assert why(found)["a"] == "it is refused: an operator"
    assert str(why(found)["b"]).startswith("plainly wrong: cosine -1.0000 on")
    assert world.judged == ["c"]


def test_the_race_decides_among_those_that_a_look_cannot_tell_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = {"a": 1.5, "b": 1.1, "c": 1.1001, "d": 1.4}
    world = World(tmp_path, {"a": 1.0, "b": 1.2, "c": 1.24, "d": 1.24}, race_ms=race)
    found = world.run(monkeypatch)
    assert {shipped(found), *(each.form.name for each in found.finalists)} == {"b", "c"}
    assert str(why(found)["a"]).startswith("slower: ")
    (other,) = {"b", "c"} - {shipped(found)}
    assert str(why(found)[str(other)]).startswith("no race tells it from the one that is shipped")


def test_what_may_not_be_shipped_is_measured_as_the_fastest_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, {"source": 1.0, "a": 3.0}, owed=["source"], unchanged=["source"])
    found = world.run(monkeypatch)
    assert shipped(found) == "a"
    assert found.fastest_source is not None
    assert found.fastest_source.form.name == "source"
    assert why(found)["source"] == "a required step has still to come: it is here to compare with"


def test_if_nothing_keeps_the_gates_nothing_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = World(tmp_path, {"a": 1.0, "b": None}, {"a": "too low"}).run(monkeypatch)
    assert shipped(found) is None
    assert all(each.why_not for each in found.tried)


def test_the_smallest_is_shipped_where_size_is_the_objective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, {"a": 1.0, "b": 9.0, "c": 8.0}, sizes={"a": 9, "b": 4, "c": 4}, objective="size")
    assert shipped(world.run(monkeypatch)) == "c"


def test_in_a_dead_runtime_nothing_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = (world := World(tmp_path, {"a": 1.0})).run(monkeypatch, {"onnxruntime": "not tried: it crashed"})
    assert (world.looked, why(found)) == ([], {"a": "not tried: it crashed"})


def test_one_that_answers_in_another_shape_is_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = World(tmp_path, {"a": 2.0, "b": 1.0}, flat=["b"]).run(monkeypatch)
    assert shipped(found) == "a"
    assert why(found)["b"] == "it answers otherwise: y is float32 of rank 1, not float32 of rank 2"


def test_if_all_that_race_are_lost_the_others_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {"a": 1.0, "b": 1.1, "f": 1.1, "g": 1.1}
    world = World(tmp_path, {**quick, "c": 4.0, "d": 4.1, "e": 9.0}, lost=list(quick))
    found = world.run(monkeypatch)
    assert shipped(found) == "c"
    assert (world.judged, world.raced) == (["a", "b", "f", "g", "c", "d"], list(quick))
    assert str(why(found)["b"]).startswith("lost in the race: it was ended by SIGSEGV")


def test_the_search_ends_if_all_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = World(tmp_path, dict.fromkeys("abcd", 1.0), lost=list("abcd")).run(monkeypatch)
    assert shipped(found) is None
    assert all(each.why_not for each in found.tried)


def test_the_baseline_must_be_there_to_compare_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, dict.fromkeys("abcd", 1.0))
    monkeypatch.setattr(World, "compare", lambda *_, **__: run_of(()))
    with pytest.raises(MeasureError, match="the baseline could not be measured"):
        world.run(monkeypatch)


@given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=5))
def test_the_quickest_stays_in_contention_and_nobody_faster_is_left_out(paces: list[float]) -> None:
    rng = np.random.default_rng(0)
    blocks = {
        str(n): [[float(v) for v in pace * rng.uniform(0.98, 1.02, 5)] for _ in range(16)]
        for n, pace in enumerate(paces)
    }
    left = in_contention(blocks, 0.025)
    best = min(range(len(paces)), key=paces.__getitem__)
    assert min(blocks, key=lambda name: float(np.median(np.concatenate(blocks[name])))) in left
    assert all(paces[int(name)] <= paces[best] * 1.06 for name in left)


def test_what_is_valid_and_far_slower_does_not_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, {"source": 3.0, "a": 1.0, "b": 1.1, "c": 1.1, "d": 1.1}, unchanged=["source"])
    found = world.run(monkeypatch)
    assert world.raced == ["a", "b", "c", "d"]
    assert why(found)["source"] == "slower at first sight"


def test_what_is_larger_than_a_gate_allows_is_not_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = World(tmp_path, {"a": 1.0, "b": 1.1}, heavy=["a"]).run(monkeypatch)
    assert (shipped(found), why(found)["a"]) == ("b", "too large")
