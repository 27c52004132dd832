"""Writing the INT8 model, and falling back node by node until onnxruntime takes it.

onnxruntime's quantizer does not know what its own loader accepts: on some graphs it writes a DequantizeLinear per
channel that the loader refuses, on others it raises. What fails gets one scale per tensor; what still fails stays in
floating point; both are reported. A constant that several nodes read is there once for each form (``copies``).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlopt.compress.quantization import copies
from mlopt.compress.quantization.fallback import Fit, largest
from mlopt.compress.quantization.float_layers import keep_float_layers
from mlopt.compress.quantization.observe import quiet, refusal
from mlopt.compress.quantization.per_channel_weights import computed_by, rewrite_pieces
from mlopt.compress.quantization.prepared import RECURRENT, WEIGHTED, WorkingCopy, save
from mlopt.compress.quantization.scheme import Integers, Mode
from mlopt.compress.quantization.versions import Written
from mlopt.compress.quantization.weights import channel_axis, give_biases, is_depthwise, pair_safe, plain
from mlopt.data.dataset import Array
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.graph import keep_interface
from mlopt.formats.onnx.names import Names, isolate, restore
from mlopt.formats.onnx.order import sort_nodes
from mlopt.formats.onnx.save import load_tensors
from mlopt.runtimes.onnxruntime_messages import copied_wrongly

if TYPE_CHECKING:
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import TensorsData

Floats = NDArray[np.float32]
PER_CHANNEL_OPSET = 13
"""DequantizeLinear has an axis from here on."""
_TYPED_OPSET = 21
"""QuantizeLinear has the attribute `output_dtype` from here on."""
_LOG = logging.getLogger(__name__)
_QUANTIZER_ERRORS = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RuntimeError)
"""What onnxruntime's quantizer raises on a graph that it cannot handle: it has no error of its own."""


@dataclass(frozen=True)
class IntegerJob:
    """One model to write as INT8, and the nodes to change."""

    prepared: WorkingCopy
    mode: Mode
    integers: Integers
    nodes: tuple[str, ...]
    per_channel: bool
    excluded: Mapping[str, str]
    """Nodes that are left alone on purpose, and why."""
    ranges: TensorsData | None = None
    """Ranges of the activations; static mode has them."""
    feeds: Mapping[str, Array] | None = None
    """One batch to try the result on; without it, the result is only loaded."""
    remarks: tuple[str, ...] = ()
    """What else the report should say."""
    pair_safe: bool = False
    """Whether weights keep 8 bits wherever no two neighbouring products can overflow 16 bits (see ``weights``)."""
    float_outputs: tuple[str, ...] = ()
    """Operators whose results stay as they come out of the accumulator; static mode."""


def quantize(job: IntegerJob, out: Path) -> Written:
    """Write ``job`` to ``out``, with as many of its nodes as the quantizer and the loader accept."""
    batched = _batched(job)
    fault = _attempt(job, job.nodes, batched, out)
    if fault is not None and copied_wrongly(fault) and not job.integers.placement.symmetric_activations:
        placement = replace(job.integers.placement, symmetric_activations=True)
        job = replace(job, integers=replace(job.integers, placement=placement))
        fault = _attempt(job, job.nodes, batched, out)
    if fault is None:
        remarks = copies.remarks(job.prepared.path, _forms(job, job.nodes, batched))
        return Written(quantized_layers(out, job.prepared), batched, {}, remarks=remarks)
    _LOG.debug("looking for the nodes at fault: %s", fault)
    first = largest(job.nodes, lambda nodes: _attempt(job, nodes, batched, out))
    second = Fit((), first.refused)
    if job.per_channel:
        second = largest(
            tuple(first.refused), lambda nodes: _attempt(job, (*first.taken, *nodes), (*batched, *nodes), out)
        )
    why = first.refused | batched
    per_tensor = {name: why[name] for name in (*batched, *second.taken) if name not in second.refused}
    nodes = tuple(name for name in job.nodes if name not in second.refused)
    fault = _attempt(job, nodes, per_tensor, out)
    if fault is not None:
        return Written(frozenset(), per_tensor, second.refused, fault)
    remarks = copies.remarks(job.prepared.path, _forms(job, nodes, per_tensor))
    return Written(quantized_layers(out, job.prepared), per_tensor, second.refused, remarks=remarks)


def _batched(job: IntegerJob) -> dict[str, str]:
    """Return the products whose weight is no matrix: for these, onnxruntime takes one scale for all of it."""
    if not job.per_channel:
        return {}
    graph, chosen = read_graph(job.prepared.path).graph, frozenset(job.nodes)
    axes = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    return {
        node.name: f"its weight has {axes[node.input[1]]} axes; onnxruntime takes scales per column of a matrix only"
        for node in graph.node
        if node.op_type == "MatMul" and node.name in chosen and axes.get(node.input[1], 2) != 2
    }


def _forms(job: IntegerJob, nodes: Collection[str], per_tensor: Collection[str]) -> copies.Forms:
    if job.mode is Mode.STATIC:
        return copies.static_forms(nodes, per_tensor, per_channel=job.per_channel)
    return copies.dynamic_forms(nodes, per_tensor)


def _attempt(job: IntegerJob, nodes: Sequence[str], per_tensor: Collection[str], out: Path) -> str | None:
    """Write and try; return the first line of what went wrong, or None."""
    if not nodes:
        return "no node is left to quantize"
    write = _write_static if job.mode is Mode.STATIC else _write_dynamic
    try:
        with quiet():
            proto = write(job, nodes, per_tensor)
    except _QUANTIZER_ERRORS as error:
        return f"the quantizer failed: {type(error).__name__}: {error}".splitlines()[0]
    sort_nodes(proto.graph)  # the quantizer's own sorting overlooks what the bodies of If and Loop read
    keep_interface(proto, read_graph(job.prepared.path))
    save(proto, out, external=job.prepared.external, source=job.prepared.path.parent)
    fault = refusal(out, job.feeds)
    return f"onnxruntime refused the result: {fault}" if fault else None


def _write_static(job: IntegerJob, nodes: Sequence[str], per_tensor: Collection[str]) -> onnx.ModelProto:
    import onnx

    from mlopt.compress.quantization.qdq import Quantizer

    proto = onnx.load(job.prepared.path)
    recurrent = [node.name for node in proto.graph.node if node.op_type == RECURRENT and node.name in nodes]
    if recurrent:  # they come first: what they become, the quantizer of all others passes over
        proto = _write_dynamic(job, recurrent, ())
        nodes = [name for name in nodes if name not in recurrent]
        if not nodes:
            return proto
        load_tensors(proto, job.prepared.path.parent)
    copies.separate(proto.graph, _forms(job, nodes, per_tensor))
    names = isolate(proto)
    nodes, per_tensor = [names.node(name) for name in nodes], [names.node(name) for name in per_tensor]
    give_biases(proto.graph, nodes)
    quantizer = Quantizer(
        proto,
        per_channel=job.per_channel,
        reduce_range=job.integers.reduce_range,
        weight_qType=_type(signed=job.integers.scheme.signed_weights),
        activation_qType=_type(signed=job.integers.scheme.signed_activations),
        tensors_range=_isolated_ranges(job.ranges, names),
        nodes_to_quantize=nodes,
        nodes_to_exclude=[],
        op_types_to_quantize=sorted({node.op_type for node in proto.graph.node}),
        extra_options={
            **job.integers.placement.quantizer_options,
            "TensorQuantOverrides": _overrides(job, proto.graph, nodes, per_tensor),
            "OpTypesToExcludeOutputQuantization": list(job.float_outputs),
        },
    )
    written = quantizer.quantize_model()
    _leave_types_to_zero_points(written.graph)
    if job.prepared.opset >= _TYPED_OPSET:
        _leave_out_zeros(written.graph)
    if job.integers.placement.rounds_float_layers and job.prepared.opset >= PER_CHANNEL_OPSET:
        keep_float_layers(written.graph)
    restore(written, names)
    return written


def _leave_types_to_zero_points(graph: onnx.GraphProto) -> None:
    """Drop what a QuantizeLinear says twice: onnxruntime turns INT8 to UINT8 in its zero point alone when it loads."""
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and len(node.input) > 2 and node.input[2]:
            kept = [attribute for attribute in node.attribute if attribute.name != "output_dtype"]
            del node.attribute[:]
            node.attribute.extend(kept)


def _leave_out_zeros(graph: onnx.GraphProto) -> None:
    """Drop the zero point of each DequantizeLinear of signed activations that has none but zero, which is the default.

    Where a value is only moved on (Reshape, Transpose, the Reshape that onnxruntime puts before a Gemm of its own),
    onnxruntime copies the pair behind that and, on x86, turns the copy to UINT8 in its zero point but not in its
    attribute `output_dtype`, and refuses the model. It leaves a pair alone whose DequantizeLinear has no zero point.
    """
    from onnx import numpy_helper

    zeros = {t.name for t in graph.initializer if t.data_type == t.INT8 and not numpy_helper.to_array(t).any()}
    codes = {node.output[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in codes and {*node.input[2:]} & zeros:
            del node.input[2:]


def _isolated_ranges(ranges: TensorsData | None, names: Names) -> TensorsData | None:
    """Return ranges by tokens: a copy, since the quantizer narrows some.

    It makes scales of all, those of tensors that stay in FP32 too, and fails on an end that is not finite.
    """
    from onnxruntime.quantization.calibrate import TensorsData

    if ranges is None:
        return None
    ends = {names.value(name): data.range_value for name, data in ranges.items()}
    ends = {name: values for name, values in ends.items() if np.isfinite(values).all()}
    return TensorsData(ranges.calibration_method, ends)


def _overrides(
    job: IntegerJob, graph: onnx.GraphProto, nodes: Sequence[str], per_tensor: Collection[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return what onnxruntime's quantizer should do differently for single weights."""
    overrides: dict[str, list[dict[str, Any]]] = {}
    if job.pair_safe:
        for name, (axis, limits) in _limits(graph, nodes).items():
            channels = [{"rmin": np.asarray(-limit), "rmax": np.asarray(limit)} for limit in limits]
            overrides[name] = [{"axis": axis, "reduce_range": False, **channels[0]}, *channels[1:]]
    for node in graph.node:
        if node.name in per_tensor and node.op_type in WEIGHTED:
            overrides[node.input[1]] = [{"reduce_range": job.integers.reduce_range}]
    return overrides


def _limits(graph: onnx.GraphProto, nodes: Sequence[str]) -> dict[str, tuple[int, Floats]]:
    """Return, for each weight of ``nodes``, its channel axis and what code 127 should stand for in each channel."""
    from onnx import numpy_helper

    chosen, stored = frozenset(nodes), {tensor.name: tensor for tensor in graph.initializer}
    limits: dict[str, tuple[int, Floats]] = {}
    for node in graph.node:
        if node.name not in chosen or node.op_type not in WEIGHTED or node.input[1] not in stored:
            continue
        weight = numpy_helper.to_array(stored[node.input[1]])
        axis = channel_axis(node)
        if node.op_type != "Conv" and weight.ndim != 2:
            continue
        magnitudes = plain(weight, axis) if is_depthwise(node, weight) else pair_safe(weight, axis)
        known = limits.get(node.input[1])
        if known is None or known[0] == axis:
            limits[node.input[1]] = (axis, magnitudes if known is None else np.maximum(known[1], magnitudes))
    return limits


def _write_dynamic(job: IntegerJob, nodes: Sequence[str], per_tensor: Collection[str]) -> onnx.ModelProto:
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    scratch = job.prepared.path.with_name("dynamic.onnx")

    def rewrite(piece: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
        quantize_dynamic(
            piece,
            scratch,
            op_types_to_quantize=["MatMul", "Gather", RECURRENT],
            per_channel=job.per_channel and not set(names).intersection(per_tensor),
            reduce_range=job.integers.reduce_range,
            weight_type=_type(signed=job.integers.scheme.signed_weights),
        )
        return onnx.load(scratch)

    return rewrite_pieces(job.prepared, nodes, rewrite, copies.dynamic_forms(nodes, per_tensor))


def _type(*, signed: bool) -> QuantType:
    from onnxruntime.quantization import QuantType

    return QuantType.QInt8 if signed else QuantType.QUInt8


def quantized_layers(path: Path, prepared: WorkingCopy) -> frozenset[str]:
    """Return the names of the weighted nodes that a file written from ``prepared`` computes in integers."""
    graph = read_graph(path).graph
    dequantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    static = {n.name for n in graph.node if n.op_type in WEIGHTED and n.input[1] in dequantized}
    dynamic = computed_by(("MatMulInteger", f"DynamicQuantize{RECURRENT}"), graph, prepared)
    return dynamic.union(static)
