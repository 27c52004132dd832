"""Small ONNX models for measuring: some work per inference, a fixed batch, and one that loads but cannot run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def dense(path: Path, layers: int = 1, width: int = 64, batch: int | str = "batch", name: str = "x") -> Path:
    """Write a chain of ``layers`` matrix products; the work grows with both."""
    weights = np.eye(width, dtype=np.float32)
    nodes = [helper.make_node("MatMul", [f"h{n}" if n else name, f"w{n}"], [f"h{n + 1}"]) for n in range(layers)]
    held = [numpy_helper.from_array(weights, f"w{n}") for n in range(layers)]
    return saved(path, nodes, held, name, [batch, width], f"h{layers}")


def broken(path: Path, width: int = 64) -> Path:
    """Write a model that opens, and fails when it runs: its reshape fits no input."""
    shape = numpy_helper.from_array(np.array([7, 11], dtype=np.int64), "shape")
    return saved(path, [helper.make_node("Reshape", ["x", "shape"], ["y"])], [shape], "x", ["batch", width], "y")


def saved(
    path: Path, nodes: list[onnx.NodeProto], held: list[onnx.TensorProto], name: str, shape: list[int | str], out: str
) -> Path:
    given = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info(out, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "dense", [given], [result], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
