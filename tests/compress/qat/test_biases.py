"""Biases become INT32 where their layer reads integers, and stay where it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlopt.compress.qat.biases import quantize_biases

BIAS = np.array([0.5, -0.25, 1.0], np.float32)


def model(
    scale: Any = 0.01, bias: Any = BIAS, *, quantized: bool = True, **attributes: Any
) -> onnx.ModelProto:  # fmt: skip
    """Return Gemm(DequantizeLinear(x), DequantizeLinear(w), bias), or the same of an ``x`` in floating point."""
    constants = {
        "w": np.ones((3, 2), np.int8), "xs": np.float32(0.02), "xz": np.uint8(128),
        "ws": np.asarray(scale, np.float32), "wz": np.zeros(np.shape(scale), np.int8), "b": bias,
    }  # fmt: skip
    axis = {"axis": 0} if np.ndim(scale) else {}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "xs", "xz"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["v"], **axis),
        helper.make_node("Gemm", ["d" if quantized else "x", "v", "b"], ["y"], name="layer", transB=1, **attributes),
    ]
    interface = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", size]) for n, size in (("x", 2), ("y", 3))
    ]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes if quantized else nodes[2:], "g", interface[:1], interface[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def rewritten(proto: onnx.ModelProto) -> tuple[int, onnx.ModelProto]:
    graph = ir.from_proto(proto)
    count = quantize_biases(graph)
    written = ir.to_proto(graph)
    onnx.checker.check_model(written, full_check=True)
    return count, written


@pytest.mark.parametrize("scale", [0.01, [0.01, 0.02, 0.03]])
def test_their_scale_is_that_of_the_products(scale: Any) -> None:
    count, written = rewritten(model(scale))
    stored = {each.name: numpy_helper.to_array(each) for each in written.graph.initializer}
    assert count == 1
    assert "b" not in stored
    np.testing.assert_allclose(stored["b_scale"], 0.02 * np.asarray(scale, np.float32), rtol=1e-6)
    assert stored["b_quantized"].dtype == np.int32
    np.testing.assert_allclose(stored["b_quantized"] * stored["b_scale"], BIAS, atol=3e-4)


@pytest.mark.parametrize(
    "proto",
    [model(quantized=False), model(alpha=0.5), model(scale=1e-30), model(bias=BIAS[None])],
    ids=["an input in floating point", "a factor", "codes beyond INT32", "a matrix"],
)
def test_others_stay_as_they_are(proto: onnx.ModelProto) -> None:
    count, written = rewritten(proto)
    assert count == 0
    assert [node.op_type for node in written.graph.node] == [node.op_type for node in proto.graph.node]
