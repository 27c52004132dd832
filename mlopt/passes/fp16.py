"""FP16 weights and arithmetic, where real samples show that the values fit.

FP16 ends at 65504 and has 11 bits: what overflows becomes infinity, or was clamped without a word by the converter. So
the FP32 model runs on samples first, and every node that reads or writes a magnitude beyond ``bound``, or a constant
that FP16 cannot hold, stays in FP32. Inputs and outputs keep their types.

Limits: graphs with If, Loop or Scan (their bodies cannot be observed) and quantized graphs are refused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mlopt.model import Kind, Model
from mlopt.onnx_file import read_graph
from mlopt.onnx_graph import sort_nodes
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Refusal, Requires
from mlopt.quantization.graph import matching, prepare, save, survey
from mlopt.quantization.observe import absolute_maxima, observe, one_batch, refusal
from mlopt.target import Objective

if TYPE_CHECKING:
    import onnx

_LARGEST = 65504.0
_SMALLEST_NORMAL = 2.0**-14
_SMALLEST = 2.0**-24


class Fp16Config(PassConfig):
    """What stays in FP32."""

    bound: float = Field(default=512.0, gt=0, le=_LARGEST, description="nodes that touch a greater magnitude stay FP32")
    exclude: tuple[str, ...] = Field(
        default=(), description="nodes to leave alone: names or patterns such as '/head/*'"
    )


def refuse(model: Model, _config: Fp16Config, context: Context) -> str | None:
    """Return why the pass does not apply, from the target and the graph alone."""
    if _computes_in_fp32(context):
        return (
            f"onnxruntime computes FP16 in FP32 on this CPU ({context.hardware.architecture}): half the size, no "
            f"faster; it serves objective size or device cuda, not {context.objective.value}"
        )
    found = survey(read_graph(model.path))
    if found.quantized:
        return f"the model is quantized already: it has {', '.join(found.quantized)}"
    if found.control_flow:
        return (
            f"what happens inside {', '.join(found.control_flow)} cannot be observed, so nothing there is known to fit"
        )
    if not found.floats:
        return "nothing to convert: the graph has no float32 constants"
    if context.calibration is None and context.samples is None:
        return "without samples nobody knows which values fit into FP16: name data.calibration, or pass --data"
    return None


def _computes_in_fp32(context: Context) -> bool:
    """Whether speed is wanted of a CPU without FP16 kernels in onnxruntime, which only Arm has."""
    wants_speed = context.objective is not Objective.SIZE
    return wants_speed and context.target.device == "cpu" and "asimdhp" not in context.hardware.isa


def run(model: Model, config: Fp16Config, context: Context) -> PassResult | Refusal:
    """Convert what fits; refuse where onnxruntime does not run the result."""
    import onnx

    data = context.calibration or context.samples
    if data is None:
        return Refusal("there are no samples to observe")
    out = context.out / "model.onnx"
    with tempfile.TemporaryDirectory(dir=context.out) as scratch:
        prepared = prepare(model, Path(scratch))
        maxima = absolute_maxima(observe(prepared, data, model.inputs))
        proto = onnx.load(prepared.path)
    excluded = matching(proto.graph, config.exclude, where="passes.fp16.exclude")
    kept = _unsupported(proto.graph) | _beyond(proto.graph, maxima, config.bound) | excluded
    total = len(proto.graph.node)
    if len(kept) == total:
        return Refusal(f"all {total} nodes must stay in FP32: {next(iter(kept.values()))}")
    small = _small_weights(proto.graph, kept)
    proto = _convert(proto, kept)
    save(proto, out, external=prepared.external)
    fault = refusal(out, one_batch(data, model.inputs, context.target.batch_size))
    if fault is not None:
        return Refusal(f"onnxruntime does not run the FP16 model: {fault}")
    notes: dict[str, Any] = {
        "converted": total - len(kept),
        "nodes": total,
        "kept_fp32": kept,
        "bound": config.bound,
        "samples": data.count,
        "largest_observed": max((value for value in maxima.values() if isfinite(value)), default=0.0),
        "tensors_not_finite": sum(1 for value in maxima.values() if not isfinite(value)),
        **small,
    }
    return PassResult(out, notes)


def _unsupported(graph: onnx.GraphProto) -> dict[str, str]:
    """Return the nodes whose operator has no FP16 form that runtimes agree on."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST

    blocked = frozenset(DEFAULT_OP_BLOCK_LIST)
    return {node.name: f"{node.op_type} stays in FP32" for node in graph.node if node.op_type in blocked}


def _beyond(graph: onnx.GraphProto, maxima: Mapping[str, float], bound: float) -> dict[str, str]:
    """Return the nodes that read or write what FP16 cannot hold, or what comes too near to that."""
    wide = {name: f"'{name}' reaches {value:.4g}" for name, value in maxima.items() if not value <= bound}
    constants = {name: _magnitude(tensor) for name, tensor in _float_constants(graph).items()}
    wide |= {name: f"constant '{name}' holds {value:.4g}" for name, value in constants.items() if value > _LARGEST}
    return {
        node.name: wide[name] for node in graph.node for name in reversed((*node.input, *node.output)) if name in wide
    }


def _small_weights(graph: onnx.GraphProto, kept: Mapping[str, str]) -> dict[str, int]:
    """Count the weights that FP16 rounds coarsely (subnormal), and those below its smallest value."""
    import numpy as np
    from onnx import numpy_helper

    read = {name for node in graph.node if node.name not in kept for name in node.input}
    subnormal = below = 0
    for name, tensor in _float_constants(graph).items():
        if name in read:
            size = np.abs(numpy_helper.to_array(tensor))
            below += int(np.count_nonzero((size > 0) & (size < _SMALLEST)))
            subnormal += int(np.count_nonzero((size >= _SMALLEST) & (size < _SMALLEST_NORMAL)))
    return {"weights_subnormal": subnormal, "weights_rounded_to_smallest": below}


def _convert(proto: onnx.ModelProto, kept: Mapping[str, str]) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted: onnx.ModelProto = convert_float_to_float16(
        proto, keep_io_types=True, disable_shape_infer=True, node_block_list=list(kept)
    )
    _keep_between(converted.graph)
    sort_nodes(converted.graph)  # the converter appends its casts behind everything else
    return converted


def _keep_between(graph: onnx.GraphProto) -> None:
    """Let values pass from one FP32 node to the next as they are.

    The converter stores every tensor in FP16, even between two nodes that must stay in FP32, where it would overflow.
    """
    import onnx

    narrowed = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Cast"
        and (node.name.startswith("graph_input_cast") or node.name.endswith("_cast_to_fp16_node"))
    }
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in narrowed and node.attribute[0].i == onnx.TensorProto.FLOAT:
            node.CopyFrom(onnx.helper.make_node("Identity", [narrowed[node.input[0]]], node.output, node.name))
    read = {name for node in graph.node for name in node.input}
    used = [node for node in graph.node if node.output[0] not in narrowed or node.output[0] in read]
    del graph.node[:]
    graph.node.extend(used)


def _float_constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == tensor.FLOAT}


def _magnitude(tensor: onnx.TensorProto) -> float:
    import numpy as np
    from onnx import numpy_helper

    return float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))


PASS = Pass(
    name="fp16",
    version=1,
    summary="FP16 where real samples show that the values fit",
    accepts=frozenset({Kind.ONNX}),
    produces=Kind.ONNX,
    config=Fp16Config,
    run=run,
    requires=Requires(extra="cpu", packages=("onnx", "onnxruntime"), device_bound=True),
    lossy=True,
    refuse=refuse,
)
