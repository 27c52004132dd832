"""A network that is right in FP32 and wrong in static INT8, for one known reason: for the tests that must find it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper
from quantization_models import FLOAT, random, write

OUTLIERS = (3, 11)
"""The channels of conv2's output that are 1000 times as large as the other 14. One scale for the tensor leaves nothing
of those; conv3 divides by 1000 again, so that in FP32 nobody sees it."""
FAULTY_NODES = ("conv2", "conv3")
"""The one writes and the other reads the tensor: it stays in floating point only where both do."""
FAULTY_TENSOR = "c2"
_FACTOR = 1000.0


def planted(path: Path, *, fault: bool = True) -> Path:
    """Write ``image [batch, 3, 16, 16]`` to ``logits [batch, 10]``, four convolutions and a Gemm.

    Without ``fault`` the outliers are left out: the function is the same, and INT8 is right.
    """
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"], name="relu1"),
        node("Conv", ["r1", "w2", "b2"], ["c2"], name="conv2"),
        node("Conv", ["c2", "w3", "b3"], ["c3"], name="conv3", pads=[1, 1, 1, 1]),
        node("Relu", ["c3"], ["r3"], name="relu3"),
        node("Conv", ["r3", "w4", "b4"], ["c4"], name="conv4", strides=[2, 2]),
        node("Relu", ["c4"], ["r4"], name="relu4"),
        node("GlobalAveragePool", ["r4"], ["p"], name="pool"),
        node("Flatten", ["p"], ["f"], name="flatten"),
        node("Gemm", ["f", "w5", "b5"], ["logits"], name="head", transB=1),
    ]
    weights = {
        "w1": _weight(16, 3, 3, 3, seed=1), "b1": random(16, scale=0.1, seed=2),
        "w2": _weight(16, 16, 1, 1, seed=3), "b2": random(16, scale=0.1, seed=4),
        "w3": _weight(16, 16, 3, 3, seed=5), "b3": random(16, scale=0.1, seed=6),
        "w4": _weight(32, 16, 3, 3, seed=7), "b4": random(32, scale=0.1, seed=8),
        "w5": _weight(10, 32, seed=9), "b5": random(10, scale=0.1, seed=10),
    }  # fmt: skip
    for channel in OUTLIERS if fault else ():
        weights["w2"][channel] *= _FACTOR
        weights["b2"][channel] *= _FACTOR
        weights["w3"][:, channel] /= _FACTOR
    return write(
        path, nodes, weights, [("image", FLOAT, ["batch", 3, 16, 16])], [("logits", FLOAT, ["batch", 10])], opset=17,
        ir=8,
    )  # fmt: skip


def samples(n: int, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Return ``n`` smooth random images, for calibration or comparison."""
    coarse = random(n, 3, 4, 4, seed=seed)
    return {
        "image": np.kron(coarse, np.ones((1, 1, 4, 4), np.float32)) + random(n, 3, 16, 16, scale=0.2, seed=seed + 1)
    }


def _weight(*shape: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return random(*shape, scale=float(np.sqrt(2 / np.prod(shape[1:]))), seed=seed)
