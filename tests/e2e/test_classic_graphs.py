"""A classic graph as old tools wrote it: opset 9, IR version 3, a fixed batch of one, weights as constant nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from small_graphs import AT_ANY_SPEED, BRIEFLY

import mlopt
from mlopt.cli.app import run

PASSES = "passes=[simplify, fuse]"
GRAPHS = Path(onnx.__file__).parent / "backend/test/data/light"


@pytest.mark.slow
def test_squeezenet_keeps_its_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    np.savez("x.npz", data_0=random.random((8, 3, 224, 224), dtype=np.float32))
    artifact = mlopt.optimize(
        GRAPHS / "light_squeezenet.onnx", data="x.npz", overrides=[*BRIEFLY, AT_ANY_SPEED, PASSES]
    )
    assert run(["verify", str(artifact.path)]) == 0
    image = random.random((1, 3, 224, 224), dtype=np.float32)
    session = onnxruntime.InferenceSession(GRAPHS / "light_squeezenet.onnx", providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"data_0": image})
    with mlopt.load(artifact.path) as loaded:
        (got,) = loaded.run({"data_0": image}).values()
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-2, atol=1e-5)
