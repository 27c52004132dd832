"""Biases of INT8 layers as INT32 with a DequantizeLinear of their own, whose scale is that of the products.

That is the form that onnxruntime fuses in every version, and with a result in floating point, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_ir as ir

_DEQUANTIZE = "DequantizeLinear"
_LARGEST = 2**31 - 1


def quantize_biases(model: ir.Model) -> int:
    """Rewrite the biases of Conv and Gemm nodes that read quantized activations and weights; return how many."""
    return sum(_quantize(model.graph, node) for node in list(model.graph) if node.op_type in {"Conv", "Gemm"})


def _quantize(graph: ir.Graph, node: ir.Node) -> bool:
    import onnx_ir as ir

    bias = node.inputs[2] if len(node.inputs) > 2 else None
    read, weight = (_scale(value) for value in node.inputs[:2])
    if bias is None or bias.const_value is None or bias.const_value.shape.rank() != 1 or read is None or weight is None:
        return False
    if any(node.attributes[name].as_float() != 1 for name in ("alpha", "beta") if name in node.attributes):
        return False
    scale = np.asarray(read * weight, np.float32)
    codes = np.rint(bias.const_value.numpy().astype(np.float64) / scale)
    if not np.isfinite(codes).all() or np.abs(codes).max(initial=0) > _LARGEST:
        return False
    stored = [
        ir.Value(name=f"{bias.name}_{what}", const_value=ir.tensor(value), shape=ir.Shape(value.shape),
                 type=ir.TensorType(kind))
        for what, value, kind in (
            ("quantized", codes.astype(np.int32), ir.DataType.INT32), ("scale", scale, ir.DataType.FLOAT)
        )
    ]  # fmt: skip
    for value in stored:
        graph.initializers.setdefault(str(value.name), value)
    axis = {"axis": 0} if scale.ndim else {}
    dequantized = ir.node(_DEQUANTIZE, [graph.initializers[str(value.name)] for value in stored], axis)
    dequantized.outputs[0].name = f"{node.outputs[0].name}_bias"
    graph.insert_before(node, dequantized)
    node.replace_input_with(2, dequantized.outputs[0])
    if not bias.uses():
        graph.initializers.pop(str(bias.name), None)
    return True


def _scale(value: ir.Value | None) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None:
    """Return the scale of what a DequantizeLinear gives; None where it is none, or not known."""
    origin = None if value is None else value.producer()
    if origin is None or origin.op_type != _DEQUANTIZE or origin.inputs[1] is None:
        return None
    constant = origin.inputs[1].const_value
    return None if constant is None else constant.numpy()
