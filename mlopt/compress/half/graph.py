"""Writing a graph in half precision: which nodes can have it, and the casts at the borders of what cannot.

onnxruntime's converter knows FP16 only. For bfloat16 its result is given the other type, and every constant is taken
from the FP32 model again, because the converter has fitted them into FP16's narrow range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.compress.quantization.prepared import WorkingCopy, save
from mlopt.formats.onnx.graph import default_opset
from mlopt.formats.onnx.names import isolate, restore
from mlopt.formats.onnx.order import sort_nodes

if TYPE_CHECKING:
    import onnx

_SMALLEST_NORMAL = 2.0**-14
_SMALLEST = 2.0**-24


@dataclass(frozen=True)
class Half:
    """A floating-point type of 16 bits."""

    name: str
    dtype: int
    """Its number in ONNX."""
    largest: float
    """Its largest finite value."""


FP16 = Half("FP16", 10, 65504.0)
BF16 = Half("bfloat16", 16, float.fromhex("0x1.fep127"))


def float_tensors(graph: onnx.GraphProto) -> frozenset[str]:
    """Return the names of all float32 tensors, as far as their types are known."""
    values = (*graph.input, *graph.value_info, *graph.output)
    typed = (value.name for value in values if value.type.tensor_type.elem_type == 1)
    return frozenset((*float_constants(graph), *typed))


def float_constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Return the float32 initializers by name."""
    return {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == tensor.FLOAT}


def always_float(node: onnx.NodeProto, index: int) -> bool:
    """Whether ONNX wants this input in FP32 whatever the others are, such as the scales of Resize."""
    from onnxruntime.transformers.float16 import ALWAYS_FLOAT_INPUTS

    return index in ALWAYS_FLOAT_INPUTS.get(node.op_type, ()) or (node.op_type == "Resize" and index > 0)


def unsupported(proto: onnx.ModelProto, half: Half) -> dict[str, str]:
    """Return the nodes whose operator has no such form, or none that runtimes agree on, and why."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST

    blocked = frozenset(DEFAULT_OP_BLOCK_LIST)
    own = {(function.domain, function.name) for function in proto.functions}
    given = {value.name for value in proto.graph.output} & float_constants(proto.graph).keys()
    sparse = {tensor.values.name for tensor in proto.graph.sparse_initializer}
    left: dict[str, str] = {}
    for node in proto.graph.node:
        if node.op_type in blocked:
            left[node.name] = f"{node.op_type} stays in FP32"
        elif (node.domain, node.op_type) in own:
            left[node.name] = f"{node.op_type} is a function of the model's own"
        elif constant := next((name for name in node.input if name in given), None):
            left[node.name] = f"constant '{constant}' is an output of the graph"
        elif constant := next((name for name in node.input if name in sparse), None):
            left[node.name] = f"constant '{constant}' is stored as a sparse tensor"
    floats, opset = float_tensors(proto.graph), default_opset(proto)
    for node in proto.graph.node:
        if node.name not in left and not _takes(node, half, opset, floats):
            left[node.name] = f"{node.op_type} takes no {half.name} at opset {opset}"
    if half is FP16:
        left |= dict.fromkeys(_crashing(proto.graph), "onnxruntime crashes on a MatMul in FP16 that reads it in FP16")
    return left


def _crashing(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the Transpose nodes that take onnxruntime 1.32 down on a CPU, where casts stand behind them.

    They are read by a MatMul, and bring the first axis to one of the last two places: it then fuses all three.
    """
    read = {name for node in graph.node if node.op_type == "MatMul" for name in node.input}
    for node in graph.node:
        if node.op_type == "Transpose" and node.output[0] in read:
            order = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), [])
            if len(order) > 2 and order[:-2] == list(range(1, len(order) - 1)):
                yield node.name


def _takes(node: onnx.NodeProto, half: Half, opset: int, floats: frozenset[str]) -> bool:
    """Whether ONNX's definition of the operator allows it.

    Of operators of other domains nothing is known; most have FP16.
    """
    import onnx

    if node.domain not in {"", "ai.onnx"}:
        return half is FP16
    schema = onnx.defs.get_schema(node.op_type, opset, "")
    wanted = "tensor(bfloat16)" if half is BF16 else "tensor(float16)"
    sides: tuple[tuple[Any, Any], ...] = ((node.input, schema.inputs), (node.output, schema.outputs))
    return all(
        wanted in formal[min(index, len(formal) - 1)].types
        for names, formal in sides
        for index, name in enumerate(names)
        if name in floats and not (names is node.input and always_float(node, index))
    )


def beyond(graph: onnx.GraphProto, maxima: Mapping[str, float], bound: float, half: Half) -> dict[str, str]:
    """Return the nodes that touch a magnitude above ``bound``, or a constant that ``half`` cannot hold, and which."""
    wide = {name: f"'{name}' reaches {value:.4g}" for name, value in maxima.items() if not value <= bound}
    constants = {name: _magnitude(tensor) for name, tensor in float_constants(graph).items()}
    wide |= {name: f"constant '{name}' holds {value:.4g}" for name, value in constants.items() if value > half.largest}
    return {
        node.name: wide[name] for node in graph.node for name in reversed((*node.input, *node.output)) if name in wide
    }


def small_weights(prepared: WorkingCopy, converted: frozenset[str]) -> dict[str, int]:
    """Count the weights that FP16 rounds coarsely (subnormal), and those below its smallest value."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(prepared.path).graph
    read = {name for node in graph.node if node.name in converted for name in node.input}
    subnormal = below = 0
    for name, tensor in float_constants(graph).items():
        if name in read:
            size = np.abs(numpy_helper.to_array(tensor))
            below += int(np.count_nonzero((size > 0) & (size < _SMALLEST)))
            subnormal += int(np.count_nonzero((size >= _SMALLEST) & (size < _SMALLEST_NORMAL)))
    return {"weights_subnormal": subnormal, "weights_rounded_to_smallest": below}


def write(prepared: WorkingCopy, converted: frozenset[str], half: Half, out: Path) -> None:
    """Write the model with the ``converted`` nodes in ``half``; inputs and outputs keep their types."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    proto = onnx.load(prepared.path)
    names = isolate(proto)
    tokens = {names.node(name) for name in converted}
    kept = [node.name for node in proto.graph.node if node.name not in tokens]
    outputs = [*proto.graph.output]
    computed = {name for node in proto.graph.node for name in node.output}
    del proto.graph.output[:]  # the converter would define a constant or an input that is an output a second time
    proto.graph.output.extend({value.name: value for value in outputs if value.name in computed}.values())
    proto = convert_float_to_float16(proto, keep_io_types=True, disable_shape_infer=True, node_block_list=kept)
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    _keep_between(proto.graph)
    sort_nodes(proto.graph)  # the converter appends its casts behind everything else
    if half is BF16:
        source = onnx.load(prepared.path)
        isolate(source)
        _retype(proto.graph, source.graph)
    restore(proto, names)
    save(proto, out, external=prepared.external)


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


def _retype(graph: onnx.GraphProto, source: onnx.GraphProto) -> None:
    """Turn a graph that was converted to FP16 into bfloat16, its constants rounded anew from ``source``."""
    weights = {tensor.name: tensor for tensor in source.initializer}
    for tensor in graph.initializer:
        if tensor.data_type == FP16.dtype:
            tensor.CopyFrom(_bfloat16(weights[tensor.name]))
    for value in graph.value_info:
        if value.type.tensor_type.elem_type == FP16.dtype:
            value.type.tensor_type.elem_type = BF16.dtype
    before = {node.name: {attribute.name: attribute for attribute in node.attribute} for node in source.node}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in {"to", "dtype"} and attribute.i == FP16.dtype:
                attribute.i = BF16.dtype
            elif attribute.HasField("t") and attribute.t.data_type == FP16.dtype:
                known = before[node.name].get(attribute.name)  # the converter writes out what was a default: zero
                attribute.t.CopyFrom(_bfloat16(known.t if known is not None else attribute.t))


def _bfloat16(tensor: onnx.TensorProto) -> onnx.TensorProto:
    import ml_dtypes
    from onnx import numpy_helper

    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(ml_dtypes.bfloat16), tensor.name)


def _magnitude(tensor: onnx.TensorProto) -> float:
    import numpy as np
    from onnx import numpy_helper

    return float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
