"""Keeping FP32 what was meant to stay FP32, behind a quantized layer.

onnxruntime takes a Conv, ConvTranspose or Gemm with FP32 weights that reads a DequantizeLinear for an oversight: when
it loads the model, it rounds these weights to INT8 by itself, with one scale for the whole tensor and all 8 bits, which
on a CPU without VNNI also saturates. EfficientNet-Lite0 with a third of its layers "in FP32" so came out at 21 dB of
SQNR, with them really in FP32 at 25 dB. It looks only at inputs with one scale; so these layers read a DequantizeLinear
that states the same scale once for each channel, which computes the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx


def keep_float_layers(graph: onnx.GraphProto) -> int:
    """Give each layer with FP32 weights a DequantizeLinear with a scale per channel; return how many there were.

    Opset 13 or later, where DequantizeLinear has an axis.
    """
    from onnx import helper, numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    sources = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    added: list[onnx.NodeProto] = []
    for node in graph.node:
        source = sources.get(node.input[0]) if node.op_type in {"Conv", "ConvTranspose", "Gemm"} else None
        weight = stored.get(node.input[1]) if source is not None else None
        if source is None or weight is None or weight.data_type != weight.FLOAT or source.input[1] not in stored:
            continue
        name = f"{node.name}_input"
        values = [name for name in source.input[1:] if name]
        for given, own in zip(values, (f"{name}_scale", f"{name}_zero_point"), strict=False):
            repeated = np.repeat(numpy_helper.to_array(stored[given]).reshape(-1)[:1], _inputs(node, weight))
            graph.initializer.append(numpy_helper.from_array(repeated, own))
        constants = [f"{name}_scale", f"{name}_zero_point"][: len(values)]
        reads = [source.input[0], *constants]
        added.append(helper.make_node("DequantizeLinear", reads, [f"{name}_DequantizeLinear"], name, axis=_axis(node)))
        node.input[0] = f"{name}_DequantizeLinear"
    graph.node.extend(added)
    return len(added)


def _axis(node: onnx.NodeProto) -> int:
    """Return the axis of a layer's input along which its channels lie: 1, also of a Gemm's [rows, inputs]."""
    return 0 if any(attribute.name == "transA" and attribute.i for attribute in node.attribute) else 1


def _inputs(node: onnx.NodeProto, weight: onnx.TensorProto) -> int:
    """Return how many input channels a layer has."""
    flags = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type == "Gemm":
        return int(weight.dims[1 if flags.get("transB") else 0])
    return int(weight.dims[1] * flags.get("group", 1) if node.op_type == "Conv" else weight.dims[0])
