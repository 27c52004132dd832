"""Recipes that end in engines, from end to end: one signed artifact, whose report says that no engine was measured."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from tensorrt_graphs import needed

import mlopt
from mlopt import api
from mlopt.cli.app import run
from mlopt.formats.tensorrt import Precision, Shapes, read

pytestmark = [pytest.mark.rtx, needed]

RECIPES = Path(__file__).parents[2] / "recipes"
SECONDS = 60
IMAGE = {"image": np.zeros((1, 3, 224, 224), np.float32)}


@pytest.mark.timeout(900)
def test_efficientnet_has_engines_for_four_gpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = api.optimize(
        RECIPES / "efficientnet_lite0_trt.yaml", output=tmp_path / "out", allow_code=True,
        overrides=("measure.seconds=0.1", "data.calibration.limit=32", "gates=[{metric: fidelity.cosine, min: 0.9}]"),
    )  # fmt: skip
    assert made.signed
    found = read(made.path / "model.onnx")
    every = set(product(("sm80", "sm86", "sm89", "sm120"), get_args(Precision), get_args(Shapes)))
    assert {(each.target, each.precision, each.shapes) for each in found.engines} == every
    assert len(found.engines) == len(every)
    assert max(each.seconds for each in found.engines) < SECONDS
    assert not found.measured
    notes = next(step.notes for step in made.report.steps if step.name == "tensorrt")
    assert [each["measured"] for each in notes["engines"]] == [False] * len(every)
    assert any("were built and not run" in note for note in made.report.notes)
    assert made.report.final.size_bytes == (made.path / "model.onnx").stat().st_size
    assert run(["verify", str(made.path)]) == 0
    with mlopt.load(made.path) as session:
        assert session.run(IMAGE)["logits"].shape == (1, 1000)
    (made.path / "engines" / "sm89_int8_static.engine").write_bytes(b"another")
    assert run(["verify", str(made.path)]) == 4
    capsys.readouterr()
