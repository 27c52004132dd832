"""Bias correction: put right, in each quantized layer's bias, what quantizing moved on average.

Rounding weights shifts the mean of a layer's outputs, channel by channel, and the shifts add up through the network. It
costs nothing at run time to take them out again (M. Nagel et al., "Data-Free Quantization Through Weight Equalization
and Bias Correction", ICCV 2019, section 4.2; with means of samples). There are two ways, and both together are best:

- ``correct_weights``: what the rounded weights of a layer do to the mean of its FP32 inputs. It takes one run.
- ``correct_means``: what a layer gives, behind all the layers before it, against what it gives in FP32: from the input
  to the output, one layer after the other. It takes a run for each.

EfficientNet-Lite0 without its first two layers: SQNR 18.1 dB with neither, 23.3 dB with the first, 23.9 dB with both.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlopt.compress.quantization.observe import channel_means
from mlopt.compress.quantization.prepared import save
from mlopt.data.dataset import Array, Dataset
from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.graph import uses
from mlopt.formats.onnx.save import loaded
from mlopt.runtimes.onnxruntime import cause, runtime_errors

if TYPE_CHECKING:
    import onnx

_LOG = logging.getLogger(__name__)
SAMPLES = 32
"""So many give means that are exact enough."""
_CHANNELS = 1
"""The axis of a convolution's inputs and outputs; also of a Gemm's, [rows, outputs]."""
_LARGEST = float(2**31 - 1)


def input_means(original: Path, layers: Iterable[str], data: Dataset, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Return the mean of each channel of what the Conv nodes of ``layers`` read in the FP32 graph, by tensor."""
    graph = read_graph(original).graph
    chosen = frozenset(layers)
    tensors = {node.input[0] for node in graph.node if node.name in chosen and node.op_type == "Conv"}
    constants = {tensor.name for tensor in graph.initializer}
    wanted = dict.fromkeys(sorted(tensors - constants), _CHANNELS)
    return channel_means(original, wanted, data, inputs, limit=SAMPLES)


def correct_weights(path: Path, original: Path, means: Mapping[str, Array], *, external: bool) -> int:
    """Take what rounded weights do to the mean of their inputs out of the biases of the Q/DQ model at ``path``.

    ``original`` is the FP32 graph in which the nodes have the same names; ``means`` is ``input_means`` of it. Returns
    how many biases changed.
    """
    floats = read_graph(original).graph
    before = {node.name: node for node in floats.node}
    constants = {tensor.name: tensor for tensor in floats.initializer}
    proto = read_graph(path)
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    done = 0
    for layer in _layers(proto.graph):
        node = before.get(layer.name)
        if node is None or node.op_type != "Conv" or node.input[0] not in means:
            continue
        weight = _values(constants[node.input[1]], original.parent)
        codes, scale = (_values(stored[name], path.parent) for name in (layer.codes, layer.scales))
        error = weight - codes * scale.reshape(-1, *[1] * (weight.ndim - 1)) if scale.ndim else weight - codes * scale
        done += _shift(stored, layer, _propagated(error, means[node.input[0]]), path.parent)
    if done:
        _rewrite(proto, path, external=external)
    return done


def correct_means(
    path: Path, original: Path, data: Dataset, inputs: Sequence[TensorSpec], *, external: bool, deadline: float
) -> int:
    """Take the mean error of every Conv and Gemm out of the biases of the Q/DQ model at ``path``.

    Layers that stay in FP32 are corrected too, for what reaches them. Returns how many biases changed. Layers that
    ``deadline`` (of ``time.monotonic``) leaves no time for stay as they are: those nearest to the output.
    """
    names = {node.name: node.output[0] for node in read_graph(original).graph.node}
    proto = read_graph(path)
    layers = sorted((*_layers(proto.graph), *_float_layers(proto.graph)), key=lambda layer: layer.place)
    layers = [layer for layer in layers if layer.name in names]
    wanted = {names[layer.name]: _CHANNELS for layer in layers}
    expected = channel_means(original, wanted, data, inputs, limit=SAMPLES) if layers else {}
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    done = 0
    for layer in layers:
        if time.monotonic() > deadline:
            break
        try:
            got = channel_means(path, {layer.output: _CHANNELS}, data, inputs, limit=SAMPLES)[layer.output]
        except runtime_errors() as error:  # it cuts the graph behind the layer, and may refuse what is left
            _LOG.debug("the bias of %s is not corrected: %s", layer.name, cause(error))
            continue
        if _shift(stored, layer, expected[names[layer.name]] - got, path.parent):
            _rewrite(proto, path, external=external)
            done += 1
    return done


@dataclass(frozen=True)
class _Layer:
    """A layer with a bias of its own: the names of what it is stored in, as integers with scales if it is quantized."""

    place: int
    """Its number among the graph's nodes."""
    name: str
    output: str
    bias: str
    bias_scale: str | None = None
    codes: str = ""
    scales: str = ""


def _layers(graph: onnx.GraphProto) -> list[_Layer]:
    """Return the quantized layers, in the order in which they run; the bias of each may be FP32."""
    sources = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    readers = uses(graph)
    constants = {tensor.name for tensor in graph.initializer}
    layers = []
    for place, node in enumerate(graph.node):
        weight = sources.get(node.input[1]) if node.op_type in {"Conv", "Gemm"} and len(node.input) > 2 else None
        if weight is None:
            continue
        bias = sources.get(node.input[2])
        stored = (node.input[2], None) if bias is None else (bias.input[0], bias.input[1])
        if readers[node.input[2]] == readers[stored[0]] == 1 and constants.issuperset(
            filter(None, (*weight.input[:2], *stored))
        ):
            layers.append(_Layer(place, node.name, node.output[0], *stored, *weight.input[:2]))
    return layers


def _float_layers(graph: onnx.GraphProto) -> list[_Layer]:
    """Return the layers that stay in FP32 behind the first quantized one."""
    quantized = {layer.place for layer in _layers(graph)}
    first = next((place for place, node in enumerate(graph.node) if node.op_type == "QuantizeLinear"), 0)
    readers = uses(graph)
    floats = (tensor.name for tensor in graph.initializer if tensor.data_type == tensor.FLOAT)
    own = {name for name in floats if readers[name] == 1}
    return [
        _Layer(place, node.name, node.output[0], node.input[2])
        for place, node in enumerate(graph.node)
        if place > first
        and place not in quantized
        and node.op_type in {"Conv", "Gemm"}
        and len(node.input) > 2
        and node.input[2] in own
    ]


def _propagated(error: Array, mean: Array) -> Array:
    """Return what an error of a convolution's weights, [outputs, inputs of a group, ...], makes of its inputs' mean."""
    summed = error.reshape(*error.shape[:2], -1).sum(axis=2)
    groups = max(1, len(mean) // summed.shape[1])
    by_group = mean[: groups * summed.shape[1]].reshape(groups, -1)
    shift: Array = (summed * np.repeat(by_group, len(summed) // groups, axis=0)).sum(axis=1)
    return shift


def _shift(stored: Mapping[str, onnx.TensorProto], layer: _Layer, by: Array, folder: Path) -> bool:
    """Add ``by`` [channels] to a layer's bias; return whether that changed it.

    A channel whose scale is vanishingly small (its weights are all but zero) cannot hold the sum and stays as it is. So
    does a bias that is more than one value for each channel.
    """
    from onnx import numpy_helper

    codes = _values(stored[layer.bias], folder)
    if codes.shape != by.shape:
        return False  # a Gemm's bias may be a whole matrix
    if layer.bias_scale is None:
        stored[layer.bias].CopyFrom(numpy_helper.from_array((codes + by).astype(np.float32), layer.bias))
        return True
    scale = _values(stored[layer.bias_scale], folder)
    steps = np.rint(np.divide(by, scale, out=np.zeros_like(codes), where=scale > 0))
    moved = codes + steps
    moved = np.where(np.abs(moved) < _LARGEST, moved, codes)
    stored[layer.bias].CopyFrom(numpy_helper.from_array(moved.astype(np.int32), layer.bias))
    return bool((moved != codes).any())


def _values(tensor: onnx.TensorProto, folder: Path) -> Array:
    from onnx import numpy_helper

    values: Array = numpy_helper.to_array(loaded(tensor, folder)).astype(np.float64)
    return values


def _rewrite(proto: onnx.ModelProto, path: Path, *, external: bool) -> None:
    """Write a model over the file that its tensors may still be in."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        save(proto, Path(folder) / path.name, external=external, source=path.parent)
        for file in Path(folder).iterdir():
            file.replace(path.parent / file.name)
