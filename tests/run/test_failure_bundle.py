"""What is left behind when a step fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from campaign_parts import model
from plain_modules import answers, narrowed

from mlopt.core.target import Objective, Target
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.torch import portable
from mlopt.passes.table import table
from mlopt.recipe.schema import Step
from mlopt.recipe.sources import load_source
from mlopt.run import failure_bundle


def samples(folder: Path, count: int, name: str = "x") -> Dataset:
    values = np.arange(count * 4, dtype=np.float32).reshape(count, 4)
    return store(Samples({name: values}, np.arange(count)), folder, "made")


def test_the_recipe_of_a_step_that_trains_has_a_part_of_what_it_trained_on(tmp_path: Path) -> None:
    data = {
        "evaluation": samples(tmp_path / "e", 40), "calibration": samples(tmp_path / "c", 20),
        "train": samples(tmp_path / "t", 300, "labels"),
    }  # fmt: skip
    steps = [Step(name=name, config=table()[name].config()) for name in ("simplify", "fuse")]
    log = tmp_path / "absent.log"
    kept = failure_bundle.write(
        tmp_path / "repro", model(tmp_path, "net"), steps, data, Target(), Objective.SIZE, log=log
    )
    recipe = load_source(kept / "recipe.yaml", None, passes=table(), overrides=()).recipe
    assert [step.name for step in recipe.passes] == ["simplify", "fuse"]
    assert recipe.data.calibration is not None
    assert recipe.data.train is not None
    assert recipe.data.train.labels == "labels of the samples"  # `labels` is an input
    counts = {role: len(np.load(kept / f"{role}.npz")[name]) for role, name in
              (("evaluation", "x"), ("calibration", "x"), ("train", "labels of the samples"))}  # fmt: skip
    assert counts == {"evaluation": 16, "calibration": 20, "train": 256}


def test_data_that_the_run_had_not_is_not_made_up(tmp_path: Path) -> None:
    data = {"evaluation": samples(tmp_path / "e", 4), "calibration": None, "train": None}
    steps = [Step(name="simplify", config=table()["simplify"].config())]
    kept = failure_bundle.write(
        tmp_path / "repro", model(tmp_path, "net"), steps, data, Target(), Objective.SIZE, log=tmp_path / "no"
    )
    assert sorted(file.name for file in kept.glob("*.npz")) == ["evaluation.npz"]


def test_a_module_that_was_made_smaller_is_made_so_by_what_lies_beside(tmp_path: Path) -> None:
    made = narrowed(tmp_path)
    data = {"evaluation": samples(tmp_path / "e", 4)}
    steps = [Step(name="simplify", config=table()["simplify"].config())]
    kept = failure_bundle.write(tmp_path / "repro", made, steps, data, Target(), Objective.SIZE, log=tmp_path / "no")
    recipe = load_source(kept / "recipe.yaml", None, passes=table(), overrides=()).recipe
    assert recipe.model.source == "./model/build.py:build"
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(answers(portable.opened(kept / "model"), x), answers(made, x))
