"""Models with one weight in two orientations, with stacks of matrices, and of other types: right, or refused truly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from quantization_models import FLOAT, Port, Weights, random, write
from random_models import relative_error, run
from small_graphs import BRIEFLY

import mlopt
from mlopt.cli.app import run as cli

NODE = helper.make_node


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(passes: str, *shape: int) -> str:
    """Write a recipe for ``model.onnx`` of one input ``x``, and its data."""
    np.savez("x.npz", x=random(40, *shape, seed=8))
    Path("r.yaml").write_text(
        "apiVersion: mlopt/v1\nname: r\nmodel: {source: ./model.onnx}\ndata:\n"
        "  calibration: {source: ./x.npz, split: [0.0, 0.5]}\n  evaluation: {source: ./x.npz, split: [0.5, 1.0]}\n"
        f"metric: {{name: fidelity}}\npasses: {passes}\ngates: [{{metric: fidelity.cosine, min: 0.95}}]\n"
    )
    return "r.yaml"


def error(passes: str, nodes: Sequence[onnx.NodeProto], weights: Weights, shape: Sequence[int], y: Port) -> float:
    """Optimize; return the largest relative error on other inputs."""
    write(Path("model.onnx"), nodes, weights, [("x", FLOAT, ["n", *shape])], [y], opset=17)
    artifact = mlopt.optimize(recipe(passes, *shape), overrides=list(BRIEFLY), sign=False)
    feeds = {"x": random(16, *shape, seed=9)}
    expected, got = (run(path, feeds) for path in (Path("model.onnx"), artifact.path / "model.onnx"))
    return relative_error(expected["y"], got["y"])


def test_a_weight_that_a_second_layer_reads_transposed() -> None:
    nodes = [
        NODE("Gemm", ["x", "w", "b"], ["h"]),
        NODE("Relu", ["h"], ["r"]),
        NODE("Gemm", ["r", "w", "b2"], ["y"], transB=1),
    ]
    weights: Weights = {"w": random(32, 32, scale=0.2), "b": random(32, seed=1), "b2": random(32, seed=2)}
    assert error("[quantize: {mode: static}]", nodes, weights, [32], ("y", FLOAT, ["n", 32])) < 0.05


def test_stacks_of_matrices_in_dynamic_mode() -> None:
    nodes = [
        NODE("Unsqueeze", ["x", "axis"], ["x1"]),
        NODE("MatMul", ["x1", "w"], ["h"]),
        NODE("ReduceMean", ["h"], ["m"], axes=[1], keepdims=0),
        NODE("MatMul", ["m", "w2"], ["y"]),
    ]
    weights: dict[str, Any] = {
        "axis": np.array([1]), "w": random(4, 32, 32, scale=0.2), "w2": random(1, 32, 8, scale=0.2),
    }  # fmt: skip
    assert error("[quantize: {mode: dynamic}]", nodes, weights, [6, 32], ("y", FLOAT, ["n", None, 8])) < 0.05  # type: ignore[list-item]


def of_type(kind: int, array: Any) -> None:
    """Write a model of one product, all of it in one type."""
    weight = numpy_helper.from_array(array, "w")
    ports = [helper.make_tensor_value_info(name, kind, ["n", 8]) for name in "xy"]
    graph = helper.make_graph([NODE("MatMul", ["x", "w"], ["y"], name="product")], "g", ports[:1], ports[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "model.onnx")


@pytest.mark.parametrize("verb", ["bench", "compare", "optimize"])
def test_a_model_in_bfloat16_is_told_its_type_and_what_to_do(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    import ml_dtypes

    of_type(TensorProto.BFLOAT16, random(8, 8).astype(ml_dtypes.bfloat16))
    assert cli([verb, "model.onnx", *(["model.onnx"] if verb == "compare" else [])]) == 2
    told = capfd.readouterr().err
    assert "bfloat16" in told
    assert "fix" in told
    assert "float32" in told
    assert "Traceback" not in told
