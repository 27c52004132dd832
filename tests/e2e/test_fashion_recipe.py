"""The recipes for Fashion-MNIST from end to end, on four small files like its own, which hold handwritten digits."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from mlopt import api

RECIPES = Path(__file__).parents[2] / "recipes"
TRAINED_ON, JUDGED_ON = 640, 200
SHORT = ("measure.seconds=0.2", "target.runtime=onnxruntime", "gates=[]")


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the recipes, with little to train and judge on."""
    images, labels = load_digits(return_X_y=True)
    pictures = np.kron(images.reshape(-1, 8, 8), np.ones((3, 3))).astype(np.uint8) * 15
    pictures = np.pad(pictures, ((0, 0), (2, 2), (2, 2)))
    files = tmp_path / "fashion"
    files.mkdir()
    for part, rows in (("train", slice(TRAINED_ON)), ("t10k", slice(TRAINED_ON, TRAINED_ON + JUDGED_ON))):
        write(files / f"{part}-images-idx3-ubyte.gz", pictures[rows])
        write(files / f"{part}-labels-idx1-ubyte.gz", labels[rows].astype(np.uint8))
    monkeypatch.setenv("FASHION_MNIST", str(files))
    return Path(shutil.copytree(RECIPES, tmp_path / "recipes", ignore=shutil.ignore_patterns("__pycache__")))


def write(path: Path, values: NDArray[np.uint8]) -> None:
    """Write an IDX file: a magic number with the rank, the sizes, the bytes."""
    head = np.array([0x800 + values.ndim, *values.shape], dtype=">i4")
    path.write_bytes(gzip.compress(head.tobytes() + values.tobytes()))


def test_what_is_pruned_and_taught_is_smaller(recipes: Path, tmp_path: Path) -> None:
    done = api.optimize(
        recipes / "fashion_resnet_pruned.yaml", output=tmp_path / "out", allow_code=True,
        overrides=(*SHORT, "model.train.epochs=1", "passes.distill.train.epochs=1", "passes.quantize.mode=static"),
    )  # fmt: skip
    steps = {step.name: step for step in done.report.steps}
    assert {steps[name].status for name in ("prune", "distill", "export", "simplify")} == {"applied"}
    before, after = steps["prune"].notes["macs"]
    assert after <= 0.3 * before
    assert len(steps["distill"].notes["trainings"][0]["epochs"]) == 1
    assert done.report.final.size_bytes < 0.6 * done.report.baseline.size_bytes
