"""How many multiplications one inference takes, from shapes alone: nothing is loaded or run.

Shapes come from ONNX's own inference. It does not know onnxruntime's fused and quantized operators, so in a copy of the
graph each stands as the ONNX operator whose output has the same shape. What is not known is never counted as nothing:
the answer is then "unknown", and why.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

from mlopt.core.errors import Problem, UserError
from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx.graph import nodes, subgraphs
from mlopt.formats.onnx.trees import DOMAIN, multiplied

if TYPE_CHECKING:
    import onnx

Shapes = Mapping[str, tuple[int, ...]]

_STAND_INS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "FusedConv": ("Conv", (0, 1)), "FusedGemm": ("Gemm", (0, 1)), "QGemm": ("Gemm", (0, 3)),
    "QLinearConv": ("Conv", (0, 3)), "MatMulIntegerToFloat": ("MatMul", (0, 1)),
    "DynamicQuantizeMatMul": ("MatMul", (0, 1)), "QLinearAdd": ("Add", (0, 3)), "QLinearMul": ("Mul", (0, 3)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)), "QLinearAveragePool": ("AveragePool", (0,)),
    "DynamicQuantizeLSTM": ("LSTM", (0, 1, 2)),
}  # fmt: skip
"""onnxruntime's operators: what each stands as, and which of its inputs that takes."""
_SAME_SHAPE = frozenset(
    {
        "QuantizeLinear", "DequantizeLinear", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "Gelu",
        "FastGelu", "BiasGelu", "QuickGelu", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization",
    }
)  # fmt: skip
"""Those of them whose output has the shape of their first input."""
_PRODUCTS = frozenset({"MatMul", "MatMulInteger", "QLinearMatMul"})
_CONVOLUTIONS = frozenset({"Conv", "ConvInteger", "QLinearConv"})
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_UNCOUNTED = frozenset({"Einsum", "Attention", "DeformConv"})
_TRANSPOSING = ("transA", "transB", "transBatchA", "transBatchB")
_OF_ONNX = frozenset({"", "ai.onnx"})


class UnknownError(Exception):
    """The multiplications cannot be counted; the text says why."""


def count_macs(proto: onnx.ModelProto, inputs: Sequence[TensorSpec], shapes: Shapes) -> int:
    """Return the multiplications of one inference with inputs of these ``shapes`` (see ``input_shapes``).

    Of an If, the larger branch counts. Raises ``UnknownError`` where a shape or an operator's cost is not known.
    """
    return _graph_macs(_inferred(proto, inputs, shapes), {})


def node_costs(
    proto: onnx.ModelProto, inputs: Sequence[TensorSpec], shapes: Shapes
) -> tuple[dict[str, tuple[int, ...]], list[int | None]]:
    """Return the shapes of tensors, as far as they are known, and for each node of the main graph its multiplications.

    They are None where they cannot be counted. Raises ``UnknownError`` where shapes cannot be inferred at all.
    """
    graph = _inferred(proto, inputs, shapes)
    known = dict(_shapes(graph))
    return known, [_cost(node, known) for node in graph.node]


def _cost(node: onnx.NodeProto, shapes: Shapes) -> int | None:
    try:
        return _node_macs(node, shapes)
    except UnknownError:
        return None


def _inferred(proto: onnx.ModelProto, inputs: Sequence[TensorSpec], shapes: Shapes) -> onnx.GraphProto:
    """Return a copy of the graph, node by node, with the shapes that ONNX infers."""
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(proto)
    _fix(fixed.graph, inputs, shapes)
    for node in nodes(fixed.graph):
        _stand_in(node, fixed.graph)
    try:
        return onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, ValueError) as error:  # ValueError: a type that ONNX does not know
        raise UnknownError(f"shape inference fails: {' '.join(str(error).split())[:200]}") from error


def input_shapes(inputs: Sequence[TensorSpec], given: Shapes) -> dict[str, tuple[int, ...]]:
    """Return a whole shape for each input: as ``given``, and 1 for every other dynamic dimension.

    A dimension that several inputs share by name has one size. Raises ``UserError`` for a shape that does not fit.
    """
    specs = {spec.name: spec for spec in inputs}
    problems = [problem for name, shape in given.items() if (problem := _misfit(specs, name, shape)) is not None]
    if problems:
        raise UserError.of(problems)
    sizes = {
        dim: size
        for name, shape in given.items()
        for dim, size in zip(specs[name].shape, shape, strict=True)
        if isinstance(dim, str)
    }
    found = {s.name: tuple(dim if isinstance(dim, int) else sizes.get(dim, 1) for dim in s.shape) for s in inputs}
    return found | dict(given)


def _misfit(specs: Mapping[str, TensorSpec], name: str, shape: tuple[int, ...]) -> Problem | None:
    got = f"{name}: [{', '.join(map(str, shape))}]"
    if name not in specs:
        close = difflib.get_close_matches(name, specs, n=1)
        fix = f"did you mean '{close[0]}'?" if close else "name one of the model's inputs"
        return Problem(
            f"the model has no input '{name}'", got=got, expected="; ".join(map(str, specs.values())), fix=fix
        )
    wanted = specs[name].shape
    if len(wanted) == len(shape) and all(isinstance(dim, str) or dim == size for dim, size in zip(wanted, shape)):  # noqa: B905 - equally long
        return None
    return Problem(
        "the shape does not fit the input", got=got, expected=str(specs[name]), fix="only dynamic dimensions are free"
    )


def _fix(graph: onnx.GraphProto, inputs: Sequence[TensorSpec], shapes: Shapes) -> None:
    """Give inputs their sizes, and what the file says of other tensors too, as far as it speaks of the same names."""
    sizes: dict[str, int] = {}
    given = {spec.name: spec for spec in inputs}
    for value in graph.input:
        if value.name in given:
            spec, dims = given[value.name], value.type.tensor_type.shape.dim
            if len(dims) != len(spec.shape):
                raise UnknownError(f"two inputs are called '{value.name}'")
            for name, dim, size in zip(spec.shape, dims, shapes[value.name], strict=True):
                dim.dim_value = size
                sizes[str(name)] = size
    for value in (*graph.value_info, *graph.output):
        shape = value.type.tensor_type.shape
        for dim in shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
        if not all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in shape.dim):
            value.type.tensor_type.ClearField("shape")


def _stand_in(node: onnx.NodeProto, graph: onnx.GraphProto) -> None:
    """Turn one of onnxruntime's operators into the ONNX operator that it stands as, if there is one."""
    import onnx

    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type == "MatMulNBits" and node.input and node.output and {"K", "N"} <= attributes.keys():
        weight = f"{node.output[0]}/weight"
        dims = [attributes["K"].i, attributes["N"].i]
        graph.input.append(onnx.helper.make_tensor_value_info(weight, onnx.TensorProto.FLOAT, dims))
        op_type, inputs = "MatMul", [node.input[0], weight]
    elif node.op_type in _STAND_INS and not _is_set(attributes, "channels_last"):
        op_type, places = _STAND_INS[node.op_type]
        inputs = [node.input[place] for place in places if place < len(node.input)]
    elif node.op_type == "FusedMatMul" and not any(_is_set(attributes, name) for name in _TRANSPOSING):
        op_type, inputs = "MatMul", list(node.input[:2])
    elif node.domain not in _OF_ONNX and node.op_type in _SAME_SHAPE:
        op_type, inputs = "Identity", list(node.input[:1])
        del node.output[1:]
    else:
        return
    node.op_type, node.domain = op_type, ""
    del node.input[:]
    node.input.extend(inputs)


def _is_set(attributes: Mapping[str, onnx.AttributeProto], name: str) -> bool:
    return name in attributes and attributes[name].i != 0


def _graph_macs(graph: onnx.GraphProto, outer: Shapes) -> int:
    shapes = {**outer, **dict(_shapes(graph))}
    return sum(_node_macs(node, shapes) for node in graph.node)


def _shapes(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    for tensor in graph.initializer:
        yield tensor.name, tuple(tensor.dims)
    for node in graph.node:
        if node.op_type == "Constant":
            yield from ((node.output[0], tuple(a.t.dims)) for a in node.attribute if a.HasField("t"))
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            yield value.name, tuple(dim.dim_value for dim in dims)


def _node_macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    bodies = [_graph_macs(body, shapes) for body in subgraphs(node)]
    if any(bodies) and node.op_type != "If":
        raise UnknownError(f"how often node '{node.name}' ({node.op_type}) repeats its body is not known")
    if node.domain == DOMAIN and (each := multiplied(node)) is not None:
        return each * _shape(node, node.input, 0, shapes)[0] if each else 0
    if node.domain not in _OF_ONNX or node.op_type in _UNCOUNTED:
        raise UnknownError(f"the cost of node '{node.name}' ({node.op_type}) is not known")
    if node.op_type in _CONVOLUTIONS:
        weight = _shape(node, node.input, 3 if node.op_type == "QLinearConv" else 1, shapes)
        return prod(_shape(node, node.output, 0, shapes)) * prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return prod(_shape(node, node.input, 0, shapes)) * prod(_shape(node, node.input, 1, shapes)[1:])
    if node.op_type in _PRODUCTS or node.op_type == "Gemm":
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        summed = _shape(node, node.input, 0, shapes)[:1] if transposed else _shape(node, node.input, 0, shapes)[-1:]
        return prod(_shape(node, node.output, 0, shapes)) * prod(summed)
    if node.op_type in _RECURRENT:  # X [steps, batch, inputs], W and R [directions, gates, ...]
        steps = prod(_shape(node, node.input, 0, shapes)[:2])
        return steps * sum(prod(_shape(node, node.input, place, shapes)) for place in (1, 2))
    return max(bodies, default=0)


def _shape(node: onnx.NodeProto, names: Sequence[str], place: int, shapes: Shapes) -> tuple[int, ...]:
    """Return the shape of one of a node's inputs or outputs; the file may lack even the name."""
    name = names[place] if place < len(names) else ""
    if name not in shapes:
        raise UnknownError(f"the shape of '{name}', of node '{node.name}' ({node.op_type}), cannot be inferred")
    return shapes[name]
