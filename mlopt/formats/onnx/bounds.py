"""What a small file can ask for: a few bytes say how large a tensor is, what functions call, how often a loop turns.

Nothing in such a file is damaged, and libraries that read it work until memory or patience ends. So it is predicted,
from the graph alone, before anything else looks at it. The caps are far above what models need.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.core.errors import ModelError
from mlopt.formats.onnx.graph import nodes, subgraphs

if TYPE_CHECKING:
    import onnx

_MOST_NODES = 1 << 19
"""Those in functions counted as often as they are called."""
_MOST_VALUES = 1 << 31
_MOST_ROUNDS = 1 << 24
_LARGEST_FLOAT = sys.float_info.max
_LARGEST_CONSTANT = 1 << 16
"""In bytes: longer ones hold no sizes."""
_FIX = "a model does not need that: check where the file is from"
_SHAPED = frozenset({"ConstantOfShape", "RandomNormal", "RandomUniform"})
_SCALED = frozenset({"Expand", "Reshape", "Tile", "Pad", "Resize", "Upsample"})
_ASKING = _SHAPED | _SCALED | {"Range", "OneHot", "Loop"}
Function = tuple[str, str, str]
Constants = Mapping[str, "onnx.TensorProto | list[float]"]
"""The small constants of a graph, by name; a tensor is read where its values are asked for."""


def check_bounds(path: Path, proto: onnx.ModelProto) -> None:
    """Raise ``ModelError`` if the graph asks for more than any model needs: nodes, values of a tensor, rounds."""
    where = str(path)
    _check_functions(where, proto)
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        dims = value.type.tensor_type.shape.dim
        _check_size(where, f"tensor '{value.name}'", [dim.dim_value for dim in dims if dim.dim_value > 0])
    for tensor in proto.graph.initializer:
        _check_size(where, f"tensor '{tensor.name}'", tensor.dims)
    for graph in (proto.graph, *proto.functions):
        constants = _constants(graph)
        for node in nodes(graph):
            for what, count, most in _asked(node, constants):
                if not count <= most:
                    name = f"node '{node.name}' ({node.op_type})" if node.name else f"a node {node.op_type}"
                    raise _too_much(where, name, count, what, most)


def _check_size(where: str, name: str, dims: Iterable[int]) -> None:
    count = math.prod(dims)
    if count > _MOST_VALUES:
        raise _too_much(where, name, count, "values", _MOST_VALUES)


def _too_much(where: str, name: str, count: float, what: str, most: float) -> ModelError:
    got = f"{float(count):.3g}" if count < _LARGEST_FLOAT else "no end of"
    return ModelError(
        "the model asks for more than can be computed", where=f"{where}: {name}", got=f"{got} {what}",
        expected=f"at most {most:,.0f}", fix=_FIX,
    )  # fmt: skip


def _check_functions(where: str, proto: onnx.ModelProto) -> None:
    """Count the nodes that there would be if every call of a function were replaced by its body."""
    bodies = {(each.domain, each.name, each.overload): each for each in proto.functions}
    calls = {name: [key for key in map(_called, nodes(body)) if key in bodies] for name, body in bodies.items()}
    counts: dict[Function, int] = {}
    try:
        for name in TopologicalSorter(calls).static_order():
            own = sum(1 for _ in nodes(bodies[name])) - len(calls[name])
            counts[name] = own + sum(counts[key] for key in calls[name])
    except CycleError as error:
        circle = " -> ".join(":".join(filter(None, name)) for name in error.args[1])
        raise ModelError("a function of the model calls itself", where=where, got=circle,
                         expected="functions that end", fix=_FIX) from error  # fmt: skip
    total = sum(counts.get(_called(node), 1) for node in nodes(proto.graph))
    if total > _MOST_NODES:
        raise _too_much(where, "its functions", total, "nodes", _MOST_NODES)


def _called(node: onnx.NodeProto) -> Function:
    return node.domain, node.op_type, node.overload


def _constants(graph: onnx.GraphProto | onnx.FunctionProto) -> Constants:
    """Return the constants of a graph and its subgraphs, by name."""
    found: dict[str, onnx.TensorProto | list[float]] = {}
    held = list(getattr(graph, "initializer", ()))
    for node in nodes(graph):
        held += [tensor for inner in subgraphs(node) for tensor in inner.initializer]
        for attribute in node.attribute if node.op_type == "Constant" and node.output else ():
            if attribute.HasField("t"):
                found[node.output[0]] = attribute.t
            elif attribute.name in {"value_int", "value_ints"}:
                found[node.output[0]] = [attribute.i] if attribute.name == "value_int" else list(attribute.ints)
    return found | {tensor.name: tensor for tensor in held}


def _values(name: str, constants: Constants) -> list[float]:
    """Return the values of a constant that can be sizes, as it is small; else none."""
    import onnx

    held = constants.get(name, [])
    if isinstance(held, list):
        return held
    small = held.ByteSize() <= _LARGEST_CONSTANT and math.prod(held.dims) <= _LARGEST_CONSTANT
    if not small or held.data_location == onnx.TensorProto.EXTERNAL:
        return []
    try:
        array = onnx.numpy_helper.to_array(held)
    except (ValueError, TypeError, KeyError):  # its data are not what its type says, which opening it will tell
        return []
    return list(array.ravel().tolist()) if array.dtype.kind in "iufb" else []


def _asked(node: onnx.NodeProto, constants: Constants) -> Iterator[tuple[str, float, float]]:
    """Yield what a node asks for in so many words: ``(what, how much, the most)``."""
    kind = node.op_type
    if kind not in _ASKING:
        return
    given = [_values(name, constants) for name in node.input]
    if kind in _SHAPED:
        shapes = [attribute.ints for attribute in node.attribute if attribute.name == "shape"]
        yield "values", max(math.prod(shape) for shape in (*given[:1], *shapes, ())), _MOST_VALUES
    elif kind in _SCALED:
        for sizes in given[1:]:
            yield "values", math.prod(max(size, 1) for size in sizes), _MOST_VALUES
    elif kind == "Range" and len(given) == 3 and all(given):
        start, end, step = (one[0] for one in given)
        yield "values", (end - start) / step if step else 0.0, _MOST_VALUES
    elif kind == "OneHot":
        yield "values", max((size for sizes in given[1:2] for size in sizes), default=0.0), _MOST_VALUES
    elif kind == "Loop" and _never_stops(next(subgraphs(node)), constants):
        known = bool(given[0]) or not node.input[0]
        yield "rounds", max(given[0], default=math.inf) if known else 0.0, _MOST_ROUNDS


def _never_stops(body: onnx.GraphProto, constants: Constants) -> bool:
    """Whether a loop's own condition is always true: loops that do end are written with the largest count there is."""
    sources = {node.output[0]: node.input[0] for node in body.node if node.op_type == "Identity"}
    name = body.output[0].name
    for _ in range(len(sources) + 1):
        name = sources.get(name, name)
    return name == body.input[1].name or any(_values(name, constants))
