"""Small ONNX files for TensorRT, and TensorRT-RTX itself, which builds engines without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes.tensorrt_library import TENSORRT_RTX

needed = pytest.mark.skipif(not TENSORRT_RTX.installed, reason="tensorrt-rtx is not installed")
FLOAT, INT8 = TensorProto.FLOAT, TensorProto.INT8
Array = np.ndarray[Any, Any]
Shape = tuple[int | str, ...]


def graph(
    path: Path, nodes: list[onnx.NodeProto], inputs: dict[str, Shape], outputs: dict[str, Shape | None], **held: Array
) -> Model:  # fmt: skip
    """Write a graph of float32 inputs and outputs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(name, FLOAT, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, shape and list(shape)) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("foo", 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=9), path)
    return open_onnx(path)


def product(path: Path, batch: int | str = 1) -> Model:
    """Write ``y = x w``, of 8 columns."""
    weight = np.eye(8, dtype=np.float32)
    return graph(
        path, [helper.make_node("MatMul", ["x", "w"], ["y"], "product")], {"x": (batch, 8)}, {"y": (batch, 8)}, w=weight
    )


def quantized(path: Path, *, bias: bool = False) -> Model:
    """Write the same in INT8; with a bias in INT32 if it is to have one, which TensorRT does not read."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], "to_int8"),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], "from_int8"),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wd"], "weight"),
        helper.make_node("MatMul", ["xd", "wd"], ["m" if bias else "y"], "product"),
    ]
    held: dict[str, Array] = {"s": np.array(0.1, np.float32), "z": np.array(0, np.int8), "w": np.eye(8, dtype=np.int8)}
    if bias:
        nodes += [
            helper.make_node("DequantizeLinear", ["b", "s"], ["bd"], "bias"),
            helper.make_node("Add", ["m", "bd"], ["y"], "sum"),
        ]
        held["b"] = np.ones(8, np.int32)
    return graph(path, nodes, {"x": (1, 8)}, {"y": (1, 8)}, **held)
