"""INT8 weights and activations for onnxruntime's CPU kernels.

Static mode writes Q/DQ pairs whose scales come from calibration data: for convolutions. Dynamic mode scales each input
as it comes: for the matrix products of transformers, whose activations vary too much for fixed scales; embedding tables
shrink with them. What surrounds a matrix product (LayerNormalization, Softmax, residual sums) stays in floating point.

Limits: bodies of If, Loop and Scan are left alone, and weights must be constants (run ``simplify`` first). The scheme
follows the CPU that optimizes, and nothing here says that INT8 is faster: the measurement does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mlopt.data.dataset import Array
from mlopt.model import Kind, Model
from mlopt.onnx_file import read_graph
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Refusal, Requires
from mlopt.quantization.choice import Mode, Scheme, choose_integers, choose_mode, objection
from mlopt.quantization.graph import Prepared, Survey, matching, prepare, survey
from mlopt.quantization.integers import Job, quantize
from mlopt.quantization.observe import Calibration, absolute_maxima, observe, one_batch, same_outputs

if TYPE_CHECKING:
    import onnx
    from onnxruntime.quantization.calibrate import TensorsData

_STATIC = (
    "Conv", "Gemm", "MatMul", "Add", "Mul", "Relu", "Clip", "LeakyRelu", "Sigmoid", "MaxPool", "AveragePool",
    "GlobalAveragePool", "Concat", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Resize", "Pad", "Split",
)  # fmt: skip
"""Operators with an INT8 kernel in onnxruntime, or through which INT8 values pass unchanged. Softmax is not among them:
1/256 steps are too coarse for probabilities."""
_OLDEST_OPSET = 11
"""DynamicQuantizeLinear came with it; onnxruntime's quantizer takes nothing older."""
_WIDEST_RANGE = 1e6
"""A tensor that reaches this holds a mask (-1e9, -inf): 256 steps over its range leave nothing of the other values."""


class QuantizeConfig(PassConfig):
    """How to quantize; the defaults follow the graph, the data and the CPU."""

    mode: Mode = Field(default=Mode.AUTO, description="static needs calibration data; auto follows the graph")
    scheme: Scheme = Field(default=Scheme.AUTO, description="signs of activations and weights; auto follows the CPU")
    reduce_range: bool | None = Field(default=None, description="7-bit weights; absent: where the CPU needs them")
    per_channel: bool = Field(default=True, description="one scale per output channel of a weight")
    calibration: Calibration = Field(default=Calibration.MINMAX, description="how ranges follow from the samples")
    keep_first: int = Field(
        default=0, ge=0, description="so many Conv, MatMul and Gemm nodes from the input on stay in FP32"
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="nodes to leave alone: names or patterns such as '/head/*'"
    )


def refuse(model: Model, config: QuantizeConfig, context: Context) -> str | None:
    """Return why the pass does not apply, from the graph alone."""
    if context.target.device != "cpu":
        return f"this INT8 is for onnxruntime's CPU kernels, and the target is {context.target.device}: try fp16"
    found = survey(read_graph(model.path))
    if found.quantized:
        return f"the model is quantized already: it has {', '.join(found.quantized)}"
    mode = choose_mode(config.mode, found.work)
    return objection(mode, config.scheme, found.work, calibrated=context.calibration is not None)


def run(model: Model, config: QuantizeConfig, context: Context) -> PassResult | Refusal:
    """Quantize; refuse where the graph turns out not to allow it."""
    found = survey(read_graph(model.path))
    mode = choose_mode(config.mode, found.work)
    with tempfile.TemporaryDirectory(dir=context.out) as scratch:
        job = _job(model, config, context, found, mode, Path(scratch))
        if isinstance(job, Refusal):
            return job
        graph = read_graph(job.prepared.path).graph
        outcome = quantize(job, context.out / "model.onnx")
    weighted = [node.name for node in graph.node if node.output[0] in found.weighted]
    done = outcome.quantized.intersection(weighted)
    if not done:
        reason = outcome.fault or "the quantizer passed them all over"
        return Refusal(f"none of {len(weighted)} Conv, MatMul and Gemm nodes could be quantized: {reason}")
    skipped = {name: "the quantizer passed it over" for name in weighted if name not in done}
    notes: dict[str, Any] = {
        "mode": mode.value,
        "scheme": job.integers.scheme.value,
        "reduce_range": job.integers.reduce_range,
        "why": job.integers.reason,
        "per_channel": job.per_channel,
        "per_tensor": dict(outcome.per_tensor),
        "quantized": len(done),
        "quantizable": len(weighted),
        "left_alone": {**skipped, **outcome.left, **job.excluded},
        "remarks": list(job.remarks),
    }
    if mode is Mode.STATIC and context.calibration is not None:
        notes |= {"calibration": config.calibration.value, "calibration_samples": context.calibration.count}
    return PassResult(context.out / "model.onnx", notes)


def _job(
    model: Model, config: QuantizeConfig, context: Context, found: Survey, mode: Mode, scratch: Path
) -> Job | Refusal:
    """Decide everything that the writing needs."""
    feeds = one_batch(context.calibration or context.samples, model.inputs, context.target.batch_size)
    wanted = 13 if mode is Mode.STATIC and config.per_channel else _OLDEST_OPSET  # 13: DequantizeLinear has an axis
    prepared, remarks = _prepare(model, scratch, feeds, wanted)
    if prepared.opset < _OLDEST_OPSET:
        return Refusal(f"opset {prepared.opset} is too old for INT8, and {remarks[0]}")
    graph = read_graph(prepared.path).graph
    ranges = None
    if mode is Mode.STATIC and context.calibration is not None:
        ranges = observe(prepared, context.calibration, model.inputs, method=config.calibration, op_types=_STATIC)
    excluded = _excluded(graph, found, mode, config) | _too_wide(graph, ranges)
    return Job(
        prepared,
        mode,
        choose_integers(config.scheme, config.reduce_range, mode, context.hardware),
        tuple(name for name in _candidates(graph, found, mode, ranges) if name not in excluded),
        per_channel=config.per_channel and prepared.opset >= wanted,
        excluded=excluded,
        ranges=ranges,
        feeds=feeds,
        remarks=remarks,
    )


def _prepare(
    model: Model, folder: Path, feeds: Mapping[str, Array] | None, wanted: int
) -> tuple[Prepared, tuple[str, ...]]:
    """Return a copy at the wanted opset or, where the model cannot be raised to it, at its own; and remarks on that.

    The converter is not trusted: what it wrote must compute what the model computes.
    """
    try:
        prepared = prepare(model, folder, minimum_opset=wanted)
    except ValueError as error:
        return prepare(model, folder), (f"the opset cannot be raised to {wanted}: {error}",)
    if prepared.raised_from is None:
        return prepared, ()
    if feeds is None or same_outputs(model.path, prepared.path, feeds):
        return prepared, (f"the opset was raised from {prepared.raised_from} to {prepared.opset}",)
    return prepare(model, folder), (f"raising the opset to {wanted} changes what the model computes",)


def _excluded(graph: onnx.GraphProto, found: Survey, mode: Mode, config: QuantizeConfig) -> dict[str, str]:
    """Return the nodes that the recipe or the mode leaves alone, and why."""
    weighted = [node.name for node in graph.node if node.output[0] in found.weighted]
    reason = f"one of the first {config.keep_first}, which the recipe keeps"
    excluded = dict.fromkeys(weighted[: config.keep_first], reason)
    if mode is Mode.DYNAMIC:
        reason = "a Conv with dynamic scales is several times slower in onnxruntime"
        convs = (node for node in graph.node if node.op_type == "Conv" and node.output[0] in found.weighted)
        excluded |= {node.name: reason for node in convs}
    return excluded | matching(graph, config.exclude, where="passes.quantize.exclude")


def _too_wide(graph: onnx.GraphProto, ranges: TensorsData | None) -> dict[str, str]:
    """Return the nodes that read or write a tensor whose range leaves INT8 no resolution."""
    maxima = absolute_maxima(ranges) if ranges is not None else {}
    wide = {name: value for name, value in maxima.items() if value >= _WIDEST_RANGE}
    return {
        node.name: f"'{name}' reaches {wide[name]:.3g}"
        for node in graph.node
        if node.op_type in _STATIC
        for name in (*node.input, *node.output)
        if name in wide
    }


def _candidates(graph: onnx.GraphProto, found: Survey, mode: Mode, ranges: TensorsData | None) -> list[str]:
    """Return the nodes to quantize.

    Between convolutions everything that has an INT8 kernel belongs to it, or values would change back and forth;
    around matrix products only these: there, sums and activations in 8 bits destroy what a transformer computes.
    """
    tables = {tensor.name for tensor in graph.initializer if tensor.data_type == tensor.FLOAT}
    names = []
    for node in graph.node:
        weighted = node.output[0] in found.weighted
        if mode is Mode.DYNAMIC:
            chosen = weighted or (node.op_type == "Gather" and node.input[0] in tables)
        elif found.work.convolutional:
            chosen = node.op_type in _STATIC and ranges is not None and node.output[0] in ranges
        else:
            chosen = weighted
        if chosen:
            names.append(node.name)
    return names


PASS = Pass(
    name="quantize",
    version=1,
    summary="INT8 for onnxruntime on CPUs, in the scheme that suits the CPU",
    accepts=frozenset({Kind.ONNX}),
    produces=Kind.ONNX,
    config=QuantizeConfig,
    run=run,
    requires=Requires(extra="cpu", packages=("onnx", "onnxruntime"), device_bound=True),
    lossy=True,
    refuse=refuse,
)
