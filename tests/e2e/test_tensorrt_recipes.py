"""Recipes that end in engines, from end to end: one signed artifact, whose report says that no engine was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tensorrt_graphs import needed

import mlopt
from mlopt import api
from mlopt.cli.app import run
from mlopt.formats.tensorrt import read

pytestmark = [pytest.mark.rtx, needed]

RECIPES = Path(__file__).parents[2] / "recipes"
IMAGE = {"image": np.zeros((1, 3, 224, 224), np.float32)}


@pytest.mark.timeout(900)
def test_efficientnet_has_engines_for_four_gpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = api.optimize(
        RECIPES / "efficientnet_lite0_trt.yaml", output=tmp_path / "out", allow_code=True,
        overrides=("measure.seconds=0.1", "data.calibration.limit=32", "gates=[{metric: fidelity.cosine, min: 0.9}]"),
    )  # fmt: skip
    assert made.signed
    found = read(made.path / "model.onnx")
    assert [each.target for each in found.engines] == ["sm80", "sm86", "sm89", "sm120"]
    assert not found.measured
    notes = next(step.notes for step in made.report.steps if step.name == "tensorrt")
    assert [each["measured"] for each in notes["engines"]] == [False] * 4
    assert any("were built and not run" in note for note in made.report.notes)
    assert made.report.final.size_bytes == (made.path / "model.onnx").stat().st_size
    assert run(["verify", str(made.path)]) == 0
    with mlopt.load(made.path) as session:
        assert session.run(IMAGE)["logits"].shape == (1, 1000)
    (made.path / "engines" / "sm89.engine").write_bytes(b"another")
    assert run(["verify", str(made.path)]) == 4
    capsys.readouterr()
