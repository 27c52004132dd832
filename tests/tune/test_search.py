"""The search, on a laboratory that knows by a formula what each point comes to: no model, no process, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tuned_recipe

from mlopt.core.errors import MeasureError, PassError
from mlopt.core.target import Objective
from mlopt.results.study import TrialRecord
from mlopt.tune.journal import Journal
from mlopt.tune.local import LocalExecutor
from mlopt.tune.search import Limits, StudySearch
from mlopt.tune.space import Space, key_of


@dataclass
class Formula:
    """A laboratory. Times follow from the point; ``wrong`` and ``broken`` points are so however they are opened."""

    wrong: Mapping[str, Any] = field(default_factory=dict)
    plain: Mapping[str, Any] = field(default_factory=dict)
    """Wrong on the first look."""
    broken: Mapping[str, Any] = field(default_factory=dict)
    alike: tuple[str, ...] = ()
    """Parameters that change nothing of the model."""
    raced: list[list[str]] = field(default_factory=list)

    def ms(self, point: Mapping[str, Any]) -> float:
        slow = 1.0
        slow *= 1.0 if point.get("passes.fuse") else 1.2
        slow *= 0.5 if point.get("passes.quantize") else 1.0
        slow *= 0.9 if point.get("passes.quantize.scheme") == "u8s8" else 1.0
        slow *= 0.8 if point.get("session.onnxruntime") == "spinning: false" else 1.0
        return 10 * slow

    def build(self, point: Mapping[str, Any], cheap: bool) -> dict[str, Any]:
        if self.broken and self.broken.items() <= point.items():
            raise PassError("'quantize' was failed", got="a kernel is missing")
        seen = {name: value for name, value in point.items() if name not in self.alike and "session" not in name}
        calibrated = bool(point.get("passes.quantize"))
        return {
            "digest": key_of(seen), "runtime": "onnxruntime", "size_bytes": 1000 if calibrated else 4000,
            "whole": not (cheap and calibrated),
        }  # fmt: skip

    def look(self, point: Mapping[str, Any], cheap: bool) -> list[dict[str, Any]]:
        plain = bool(self.plain) and self.plain.items() <= point.items()
        why = "plainly wrong: cosine 0.1" if plain else None
        exact = {"options": {"threads": 1}, "ms": self.ms(point) * 1.5, "cosine": 1.0, "why_not": why}
        fast = {"options": {"threads": 1, "precision": "bf16"}, "ms": self.ms(point), "cosine": 0.99, "why_not": why}
        return [exact, fast]

    def judge(self, point: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        bad = bool(self.wrong) and self.wrong.items() <= point.items()
        return {"why_not": "accuracy.value 0.2, and >= 0.9 is wanted" if bad else None, "accuracy": None,
                "fidelity": None}  # fmt: skip

    def race(self, entries: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
        self.raced.append([name for name, *_ in entries])
        found = {}
        for name, point, options in entries:
            ms = self.ms(point) * (1 if "precision" in options else 1.5)
            found[name] = {"latency_ms": ms, "speedup": 10 / ms, "ci95": (9.9 / ms, 10.1 / ms), "peak_rss_bytes": 10}
        return found

    def close(self) -> None:
        """Nothing to take away."""


class Clock:
    """A second for each time that it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    only = ("passes.simplify", "passes.fuse", "passes.quantize.scheme", "session")
    folder = tmp_path_factory.mktemp("space")
    tuned_recipe.write(folder)
    text = tuned_recipe.TEXT
    found = tuned_recipe.space(folder, text, only=(*only, "passes.quantize"))
    assert (found.count() or 9999) > 200
    return found


def search(folder: Path, space: Space, laboratory: Any, **limits: Any) -> StudySearch:
    limits = {"deadline": float("inf"), "clock": Clock(), **limits}
    moved: list[TrialRecord] = []
    objective = limits.pop("objective", Objective.LATENCY)
    made = StudySearch(
        LocalExecutor(laboratory), Journal(folder, space, 0, {}), Limits(**limits), objective, 0.0,
        tell=lambda _text: None, moved=moved.append,
    )  # fmt: skip
    made.kept = moved  # type: ignore[attr-defined]
    return made


def test_the_best_of_a_large_space_is_found_by_a_part_of_it(tmp_path: Path, space: Space) -> None:
    one = search(tmp_path, space, Formula(), trials=60)
    assert one.run() == "trials"
    assert one.best is not None
    assert one.best.latency_ms is not None
    assert one.best.latency_ms <= 10 * 0.5 * 0.9 * 0.8 * 1.06
    assert one.best.options["precision"] == "bf16"
    assert len(one.journal.records) == 60


def test_what_breaks_a_gate_is_never_the_best(tmp_path: Path, space: Space) -> None:
    one = search(tmp_path, space, Formula(wrong={"session.onnxruntime": "spinning: false"}), trials=40)
    one.run()
    assert one.best is not None
    assert one.best.params["session.onnxruntime"] != "spinning: false"
    wrong = [each for each in one.journal.records if each.valid is False]
    assert wrong
    assert {each.cause for each in wrong} == {"accuracy.value 0.2, and >= 0.9 is wanted"}
    assert all(each.speedup is None for each in wrong)


def test_what_is_plainly_wrong_is_not_built_whole_nor_judged(tmp_path: Path, space: Space) -> None:
    one = search(tmp_path, space, Formula(plain={"passes.quantize": True}), trials=20)
    one.run()
    given_up = [each for each in one.journal.records if each.params.get("passes.quantize")]
    assert given_up
    assert {(each.status, each.rung, each.valid) for each in given_up} == {("stopped", 0, None)}


def test_a_trial_that_fails_is_kept_with_its_cause(tmp_path: Path, space: Space) -> None:
    one = search(tmp_path, space, Formula(broken={"passes.quantize": True}), trials=20)
    one.run()
    failed = [each for each in one.journal.records if each.status == "failed"]
    assert failed
    assert {each.cause for each in failed} == {"'quantize' was failed: a kernel is missing"}
    assert one.best is not None


def test_a_model_that_was_tried_is_not_raced_again(tmp_path: Path, space: Space) -> None:
    laboratory = Formula(alike=("passes.simplify",))
    one = search(tmp_path, space, laboratory, trials=60)
    one.run()
    same = [each for each in one.journal.records if "the same model as trial" in (each.cause or "")]
    assert same
    raced = [name for names in laboratory.raced for name in names]
    assert not {f"trial {each.number}" for each in same} & set(raced)


def test_hope_is_lost_after_so_many_trials_without_a_move(tmp_path: Path, space: Space) -> None:
    one = search(tmp_path, space, Formula(), patience=10)
    assert one.run() == "converged"
    assert len(one.journal.records) < (space.count() or 10_000) / 2


def test_no_trial_begins_after_the_deadline(tmp_path: Path, space: Space) -> None:
    one = search(tmp_path, space, Formula(), deadline=30.0)
    assert one.run() == "budget"
    assert one.journal.records


def test_for_size_the_smallest_valid_one_is_best_and_nothing_races(tmp_path: Path, space: Space) -> None:
    laboratory = Formula()
    one = search(tmp_path, space, laboratory, trials=20, objective=Objective.SIZE)
    one.run()
    assert one.best is not None
    assert one.best.size_bytes == 1000
    assert laboratory.raced == []


def test_each_new_best_is_told_of_once(tmp_path: Path, space: Space) -> None:
    one = search(tmp_path, space, Formula(), trials=40)
    one.run()
    times = [each.latency_ms for each in one.kept]  # type: ignore[attr-defined]
    assert times == sorted(times, reverse=True)
    assert len(times) == len(set(times)) >= 2


def test_a_lost_race_fails_its_trials_and_the_search_goes_on(tmp_path: Path, space: Space) -> None:
    class Losing(Formula):
        def race(self, entries: Any) -> dict[str, Any]:
            if not self.raced:
                self.raced.append([])
                raise MeasureError("the baseline could not be measured")
            return super().race(entries)

    one = search(tmp_path, space, Losing(), trials=20)
    one.run()
    assert any("lost in the race" in (each.cause or "") for each in one.journal.records)
    assert one.best is not None
