from __future__ import annotations

from pathlib import Path

import tuned_recipe

from mlopt.passes.table import table
from mlopt.recipe.load import load
from mlopt.results.study import Ended, TrialRecord
from mlopt.run.request import Request
from mlopt.tune import record


def test_a_study_says_what_was_searched_and_what_it_came_to(tmp_path: Path) -> None:
    space = tuned_recipe.space(tmp_path, only=("passes.simplify", "passes.fuse"))
    loaded, request = load(tmp_path / "net.yaml", passes=table()), Request(source=tmp_path / "net.yaml")
    trials = [
        TrialRecord(number=number, params=space.default, origin="search", status="measured", rung=2, began_s=0,
                    seconds=1, node="here", valid=True, latency_ms=ms, speedup=8 / ms, size_bytes=10)
        for number, ms in ((1, 2.0), (0, 4.0))
    ]  # fmt: skip
    ended = Ended(why="trials", seconds=2.0, resumed=0)
    found = record.study(loaded, space, request, trials, best=1, budget=60.0, seed=0, final=(1.9, (1.8, 2.0)),
                         ended=ended)  # fmt: skip
    assert [each.number for each in found.trials] == [0, 1]
    assert found.front == (1,)
    assert found.points == 2 * 3
    assert found.final_ci95 == (1.8, 2.0)


def test_what_is_asked_beside_a_recipe_makes_it_another(tmp_path: Path) -> None:
    tuned_recipe.write(tmp_path)
    loaded, request = load(tmp_path / "net.yaml", passes=table()), Request(source=tmp_path / "net.yaml")
    other = Request(source=tmp_path / "net.yaml", overrides=("seed=2",))
    assert record.recipe_digest(loaded, request) != record.recipe_digest(loaded, other)
    assert record.recipe_digest(loaded, request) == record.recipe_digest(loaded, request)
