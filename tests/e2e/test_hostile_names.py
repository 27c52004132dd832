"""Models whose own names are those that tools make, and whose outputs lie before an activation: right in size, too.

Each of them once came out wrong, by a factor of 3,000 or cut off at zero, and passed: its direction was right.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from quantization_models import FLOAT, Port, Weights, random, write
from random_models import relative_error, run
from small_graphs import BRIEFLY

import mlopt

NODE = helper.make_node


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def optimized(config: str, nodes: Sequence[onnx.NodeProto], weights: Weights, x: Port, outputs: list[Port]) -> float:
    """Quantize as ``config`` says; return the largest relative error of an output on other inputs."""
    write(Path("model.onnx"), nodes, weights, [x], outputs, opset=17)
    shape = [int(size) for size in x[2][1:]]
    np.savez("x.npz", x=random(40, *shape, seed=8))
    Path("r.yaml").write_text(
        "apiVersion: mlopt/v1\nname: r\nmodel: {source: ./model.onnx}\ndata:\n"
        "  calibration: {source: ./x.npz, split: [0.0, 0.5]}\n  evaluation: {source: ./x.npz, split: [0.5, 1.0]}\n"
        f"metric: {{name: fidelity}}\npasses: [quantize: {config}]\ngates: [{{metric: fidelity.cosine, min: 0.9}}]\n"
    )
    artifact = mlopt.optimize("r.yaml", overrides=list(BRIEFLY), sign=False)
    feeds = {"x": random(16, *shape, seed=9)}
    expected, got = (run(path, feeds) for path in (Path("model.onnx"), artifact.path / "model.onnx"))
    return max(relative_error(expected[name], got[name]) for name in expected)


def test_a_factor_that_is_called_as_the_scale_of_a_weight() -> None:
    nodes = [
        NODE("MatMul", ["x", "fc.weight"], ["h"], name="fc"),
        NODE("Mul", ["h", "fc.weight_scale"], ["s"], name="mul"),
        NODE("Relu", ["s"], ["r"], name="r"),
        NODE("MatMul", ["r", "w2"], ["y"], name="o"),
    ]
    weights: Weights = {
        "fc.weight": random(32, 48, scale=0.2), "fc.weight_scale": np.full(48, 2, np.float32),
        "w2": random(48, 16, scale=0.2, seed=1),
    }  # fmt: skip
    x: Port = ("x", FLOAT, ["n", 4, 32])
    assert optimized("{mode: dynamic}", nodes, weights, x, [("y", FLOAT, ["n", 4, 16])]) < 0.05


def test_a_tensor_that_is_called_as_the_copy_of_a_bias() -> None:
    config = "{mode: static, placement: tensorrt}"
    nodes = [
        NODE("Gemm", ["x", "w1", "b"], ["b0"]),
        NODE("Relu", ["b0"], ["r"]),
        NODE("Gemm", ["r", "w2", "b"], ["h"]),
        NODE("Relu", ["h"], ["r2"]),
        NODE("Gemm", ["r2", "w3", "b"], ["y"]),
    ]
    weights: dict[str, Any] = {f"w{n}": random(16, 16, scale=0.3, seed=n) for n in (1, 2, 3)} | {"b": random(16)}
    assert optimized(config, nodes, weights, ("x", FLOAT, ["n", 16]), [("y", FLOAT, ["n", 16])]) < 0.1


def test_an_output_that_is_also_what_an_activation_reads() -> None:
    nodes = [
        NODE("Conv", ["x", "w1", "b1"], ["pre"], pads=[1, 1, 1, 1]),
        NODE("Relu", ["pre"], ["r"]),
        NODE("Conv", ["r", "w2", "b2"], ["y"], pads=[1, 1, 1, 1]),
    ]
    weights: Weights = {
        "w1": random(8, 3, 3, 3, scale=0.2), "b1": random(8, seed=1),
        "w2": random(4, 8, 3, 3, scale=0.1, seed=2), "b2": random(4, seed=3),
    }  # fmt: skip
    outputs: list[Port] = [("y", FLOAT, ["n", 4, 8, 8]), ("pre", FLOAT, ["n", 8, 8, 8])]
    assert optimized("{mode: static}", nodes, weights, ("x", FLOAT, ["n", 3, 8, 8]), outputs) < 0.1
