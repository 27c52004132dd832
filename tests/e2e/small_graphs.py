"""A small ONNX classifier as a file, its samples and its recipe: for tests in which no PyTorch has to start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BRIEFLY = ("measure.seconds=0.05", "measure.rounds=7", "measure.max_time=1", "measure.operators=false")
"""Overrides with which measuring is real but short: what takes the time is starting processes."""

AT_ANY_SPEED = (
    "gates=[{metric: fidelity.cosine, min: 0.9}, {metric: speedup.median, min: 0.001, on_inconclusive: pass}]"
)
"""Of two equally fast models, one in fifty runs fails the default gate on speed: no test may hang on it."""

CLASSIFIER_RECIPE = """
apiVersion: mlopt/v1
name: classifier
model: {source: ./classifier.onnx}
data:
  calibration: {source: ./x.npz, split: [0.0, 0.5]}
  evaluation: {source: ./x.npz, split: [0.5, 1.0]}
metric: {name: agreement}
passes:
  - simplify
  - quantize: {mode: static}
  - fuse
gates:
  - {metric: fidelity.cosine, min: 0.9}
  - {metric: speedup.median, min: 0.001, on_inconclusive: pass}
measure: {seconds: 0.05, rounds: 7, max_time: 1, operators: false}
"""


def write_classifier(folder: Path) -> tuple[Path, Path]:
    """Write ``classifier.onnx``, which has a free batch axis, and ``x.npz`` with 64 samples; return both."""
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
    onnx.save(model, folder / "classifier.onnx")
    np.savez(folder / "x.npz", x=random.standard_normal((64, 16)).astype(np.float32))
    return folder / "classifier.onnx", folder / "x.npz"
