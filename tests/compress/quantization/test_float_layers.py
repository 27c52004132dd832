"""Layers that stay FP32 between quantized ones must compute in FP32, whatever onnxruntime makes of the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from onnx import helper, numpy_helper
from quantization_models import FLOAT, random

from mlopt.compress.quantization.float_layers import keep_float_layers
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes.table import open_session


def sandwiched(op_type: str, weight: np.ndarray, **attributes: int) -> onnx.ModelProto:
    """x -> Q -> DQ -> layer with FP32 weights -> Q -> DQ -> y."""
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "sx", "zx"], ["xq"]), node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"]),
        node(op_type, ["xd", "w"], ["c"], "layer", **attributes),
        node("QuantizeLinear", ["c", "sy", "zx"], ["cq"]), node("DequantizeLinear", ["cq", "sy", "zx"], ["y"]),
    ]  # fmt: skip
    values = {"w": weight, "sx": np.float32(4 / 255), "sy": np.float32(1e-3), "zx": np.uint8(128)}
    shape = ["n", 6] if op_type == "Gemm" else ["n", 6, 4, 4]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", FLOAT, shape)], [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def run(model: onnx.ModelProto, path: Path, level: str) -> np.ndarray:
    onnx.save(model, path)
    shape = [3, *(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:])]
    with open_session(in_runtime(open_onnx(path), graph_optimization=level)) as session:
        return session.run({"x": random(*shape, seed=5)})["y"]


@pytest.mark.parametrize(
    ("op_type", "shape", "attributes"),
    [("Conv", (8, 6, 1, 1), {}), ("Conv", (6, 1, 3, 3), {"group": 6}), ("ConvTranspose", (6, 8, 1, 1), {}),
     ("Gemm", (6, 8), {}), ("Gemm", (8, 6), {"transB": 1}), ("Gemm", (3, 8), {"transA": 1})],
)  # fmt: skip
def test_the_weights_are_not_rounded(
    tmp_path: Path, op_type: str, shape: tuple[int, ...], attributes: dict[str, int]
) -> None:
    weight = random(*shape, scale=0.01, seed=6)
    weight.flat[0] = 1.0  # one scale for all of them would leave the others no resolution
    model = sandwiched(op_type, weight, **attributes)
    meant = run(model, tmp_path / "meant.onnx", "none")
    assert np.abs(run(model, tmp_path / "rounded.onnx", "all") - meant).max() > 2e-3  # what this is about
    assert keep_float_layers(model.graph) == 1
    np.testing.assert_allclose(run(model, tmp_path / "kept.onnx", "all"), meant, atol=1.1e-3)  # one step of the output


def test_quantized_layers_are_left_alone() -> None:
    model = sandwiched("Conv", random(8, 6, 1, 1))
    del model.graph.initializer[0]
    model.graph.initializer.append(numpy_helper.from_array(np.ones((8, 6, 1, 1), np.int8), "codes"))
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["codes", "sx"], ["w"]))
    before = model.SerializeToString()
    assert keep_float_layers(model.graph) == 0
    assert model.SerializeToString() == before
