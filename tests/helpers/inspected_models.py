"""Models to look into: one partly quantized, and one of a single node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def partly_quantized(path: Path) -> Path:
    """Conv 3->8 (3x3) on [batch, 3, 10, 10], then a product whose weight is dequantized."""
    weights = {
        "w": np.zeros((8, 3, 3, 3), np.float32), "q": np.zeros((512, 4), np.int8),
        "s": np.array(0.1, np.float32), "z": np.array(0, np.int8), "shape": np.array([-1, 512], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node("Reshape", ["h", "shape"], ["flat"]),
        helper.make_node("QuantizeLinear", ["flat", "s", "z"], ["fq"]),
        helper.make_node("DequantizeLinear", ["fq", "s", "z"], ["fd"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["qd"]),
        helper.make_node("MatMul", ["fd", "qd"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 10, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="a test"), path)
    return path


def one_node(path: Path, node: onnx.NodeProto, weights: dict[str, tuple[int, ...]], shape: list[int | str]) -> Path:
    """Write ``x`` of that shape through one node to ``y``; weights are zeros of these shapes."""
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(dims, np.float32), name) for name, dims in weights.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path
