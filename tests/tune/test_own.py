from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tuned_recipe
from deployables import in_runtime

from mlopt.formats.onnx.file import open_onnx
from mlopt.run.request import Request
from mlopt.tune import own


def test_searches_of_passes_are_bounded_by_their_share_of_the_budget(tmp_path: Path) -> None:
    path = tuned_recipe.write(tmp_path, tuned_recipe.TEXT.replace("mode: static, ", ""))
    assert own.within(Request(source=path), 400.0).overrides == ("passes.1.seconds=100",)
    assert own.within(Request(source=path), 4000.0).overrides == ()
    assert own.within(Request(source=path), None).overrides == ()
    static = tuned_recipe.write(tmp_path)
    assert own.within(Request(source=static), 40.0).overrides == ()


def test_it_is_a_trial_without_the_steps_that_were_not_kept(tmp_path: Path) -> None:
    space, recipe = tuned_recipe.space(tmp_path), tuned_recipe.recipe(tmp_path)
    model = in_runtime(open_onnx(tmp_path / "net.onnx"))
    kept: Any = [SimpleNamespace(kept=each) for each in (model, None, model)]
    chosen: Any = SimpleNamespace(final=model, outcomes=kept)
    found = own.result(space, space.recipe, chosen, 3.0)
    assert recipe == space.recipe
    assert found.point["passes.quantize"] is False
    assert found.point["passes.fuse"] is True
    measured = {"why_not": "too slow", "latency_ms": 2.0, "speedup": 1.5, "ci95": (1.4, 1.6), "accuracy": None,
                "fidelity": None, "peak_rss_bytes": 9}  # fmt: skip
    told = own.told(found, measured, 0, 1.0, "here")
    assert (told.origin, told.valid, told.cause, told.rung) == ("recipe", False, "too slow", 2)
    assert told.digest == model.model.digest
