"""Shared by the end-to-end tests: small real models, and recipes that measure only briefly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import NETWORK, RECIPE


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of a small PyTorch network, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NETWORK)
    (tmp_path / "net.yaml").write_text(RECIPE)
    return tmp_path / "net.yaml"


@pytest.fixture
def classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A bare ONNX classifier with a free batch axis, and samples for it; in the working directory."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    weights = [random.standard_normal((16, 32)).astype(np.float32), random.standard_normal((32, 5)).astype(np.float32)]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w1"], ["y"], name="second"),
        helper.make_node("Softmax", ["y"], ["probabilities"], name="softmax"),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(array, f"w{number}") for number, array in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, tmp_path / "classifier.onnx")
    np.savez(tmp_path / "x.npz", x=random.standard_normal((64, 16)).astype(np.float32))
    return tmp_path / "classifier.onnx", tmp_path / "x.npz"
