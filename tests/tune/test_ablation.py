from __future__ import annotations

from pathlib import Path

import tuned_recipe

from mlopt.tune import ablation


def test_each_step_that_may_go_is_left_out_once(tmp_path: Path) -> None:
    space = tuned_recipe.space(tmp_path)
    best = space.completed({"passes.simplify": False, "session.onnxruntime": "spinning: false"})
    found = list(ablation.without(space, best))
    gone = [{name for name in best if name.count(".") == 1 and best[name] and not each[name]} for each in found]
    assert gone == [{"passes.quantize"}, {"passes.fuse"}]
    assert all(each["session.onnxruntime"] == "spinning: false" for each in found)
