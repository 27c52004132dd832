"""INT8 weights for CPUs whose 8-bit products are added in pairs in 16 bits, without giving up the eighth bit.

Without VNNI, x86 multiplies unsigned activations by signed weights and adds two neighbouring products in 16 bits. With
activations up to 255 that overflows as soon as two neighbouring weights add up to more than 128. Halving all weights
(``reduce_range``, 7 bits) rules it out and costs a bit everywhere. But in most output channels no two large weights are
neighbours: there the scale needs to grow only by what the worst pair asks for. Where a kernel adds in 32 bits anyway
(depthwise convolutions), it need not grow at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlopt.data.dataset import Array
from mlopt.formats.onnx.graph import nodes, uses
from mlopt.formats.onnx.int8 import orders, worst_pair
from mlopt.formats.onnx.save import loaded

if TYPE_CHECKING:
    import onnx

_LARGEST_CODE = 127
_LARGEST_PAIR = 128
"""255 * 128 = 32640 is the most that fits into 16 bits."""
_ROUNDING = 1
"""Two codes are each rounded by at most a half."""


def pair_safe(weight: Array, channel_axis: int) -> NDArray[np.float32]:
    """Return for each channel the magnitude that code 127 should stand for, so that no pair of products overflows.

    ``weight`` is [.., channels, ..]. Neighbours are taken along every order in which onnxruntime lays out a
    convolution's kernel: channel by channel, and position by position.
    """
    worst = np.max([worst_pair(order) for order in orders(weight, channel_axis)], axis=0)
    largest = plain(weight, channel_axis)
    allowed = (_LARGEST_PAIR - _ROUNDING) / _LARGEST_CODE
    return np.asarray(np.maximum(largest, worst / allowed), dtype=np.float32)


def plain(weight: Array, channel_axis: int) -> NDArray[np.float32]:
    """Return each channel's largest magnitude: all 8 bits."""
    rows = np.moveaxis(weight, channel_axis, 0)
    return np.asarray(np.abs(rows.reshape(len(rows), -1)).max(axis=1), dtype=np.float32)


def not_finite(graph: onnx.GraphProto, folder: Path) -> dict[str, str]:
    """Return the nodes that read a constant no scale is found for, as it holds NaN or infinity, and which."""
    from onnx import numpy_helper

    odd = {
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type == tensor.FLOAT and not np.isfinite(numpy_helper.to_array(loaded(tensor, folder))).all()
    }
    return {
        node.name: f"constant '{name}' holds NaN or infinity"
        for node in graph.node
        for name in reversed(node.input)
        if name in odd
    }


def is_depthwise(node: onnx.NodeProto, weight: Array) -> bool:
    """Whether a Conv gives each input channel one kernel: onnxruntime's kernel for these adds in 32 bits.

    With several kernels for a channel it does not.
    """
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    return node.op_type == "Conv" and weight.shape[1] == 1 and groups == len(weight) > 1


def channel_axis(node: onnx.NodeProto) -> int:
    """Return the axis of a Conv's, Gemm's or MatMul's 2-D weight along which its outputs lie."""
    if node.op_type == "Conv":
        return 0
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if transposed else 1


def give_biases(graph: onnx.GraphProto, nodes: Sequence[str]) -> None:
    """Give every Conv of ``nodes`` that has no bias one of zeros, and every one that shares its bias one of its own.

    A bias is where the mean error of a quantized convolution can be put right.
    """
    from onnx import numpy_helper

    chosen, stored = frozenset(nodes), {tensor.name: tensor for tensor in graph.initializer}
    readers = uses(graph)
    for node in graph.node:
        if node.op_type != "Conv" or node.name not in chosen or node.input[1] not in stored:
            continue
        own = f"{node.name}_mlopt_bias"
        if len(node.input) < 3 or not node.input[2]:
            bias = np.zeros(stored[node.input[1]].dims[0], dtype=np.float32)
            del node.input[2:]
            node.input.append(own)
        elif node.input[2] in stored and readers[node.input[2]] > 1:
            bias = numpy_helper.to_array(stored[node.input[2]])
            node.input[2] = own
        else:
            continue
        graph.initializer.append(numpy_helper.from_array(bias, own))


def plain_gemms(graph: onnx.GraphProto, folder: Path) -> None:
    """Give every Gemm the plainest form of its constant bias: one value for each output, and no factor before it.

    onnxruntime's quantizer scales the integers of a bias by ``beta``, and the node then does it again.
    """
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    replaced = set()
    for node in graph.node:
        bias = stored.get(node.input[2]) if node.op_type == "Gemm" and len(node.input) > 2 else None
        weight = stored.get(node.input[1]) if bias is not None else None
        if bias is None or weight is None or bias.data_type != bias.FLOAT:
            continue
        beta = next((attribute.f for attribute in node.attribute if attribute.name == "beta"), 1.0)
        columns = weight.dims[channel_axis(node)]
        one_row = prod(bias.dims) in {1, columns} and prod(bias.dims[:-1]) == 1
        if beta == 1.0 and (list(bias.dims) == [columns] or not one_row):
            continue
        values = numpy_helper.to_array(loaded(bias, folder)) * np.float32(beta)
        own = f"{node.name}_mlopt_bias"
        plain_values = np.broadcast_to(values.reshape(-1), columns) if one_row else values
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(plain_values), own))
        replaced.add(bias.name)
        node.input[2] = own
        kept = [attribute for attribute in node.attribute if attribute.name != "beta"]
        del node.attribute[:]
        node.attribute.extend(kept)
    replaced -= {name for node in nodes(graph) for name in node.input}.union(value.name for value in graph.output)
    for tensor in [tensor for tensor in graph.initializer if tensor.name in replaced]:
        graph.initializer.remove(tensor)
