"""Which values of an input a graph can look up: ids into a table of so many rows.

ONNX makes an index outside of the table an error, and not every runtime looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_SAME_VALUES = frozenset({"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand"})
_WIDE = (6, 7)
"""int32 and int64, as ONNX numbers them."""


def rows_looked_up(graph: onnx.GraphProto) -> dict[str, int]:
    """Return, by the name of an integer input, the rows of the smallest table that all its values are indices of.

    Looked at is what always runs: not the branches of an If, nor what no output needs.
    """
    inputs = {value.name for value in graph.input if value.type.tensor_type.elem_type in _WIDE}
    return {name: size for name, size in _rows(graph).items() if name in inputs}


def longest_looked_up(graph: onnx.GraphProto) -> dict[tuple[str, int], int]:
    """Return, by input and axis, the largest size of which each place has a row: positions, counted from 0."""
    rows, makers = _rows(graph), {name: node for node in graph.node for name in node.output}
    known, inputs = dict(_scalars(graph)), {value.name for value in graph.input}
    found: dict[tuple[str, int], int] = {}
    for node in graph.node:
        if node.op_type != "Range" or node.output[0] not in rows:
            continue
        start, name, step = node.input
        while name in makers and keeps_values(makers[name]):
            name = makers[name].input[0]
        size = makers.get(name)
        shape = makers.get(size.input[0]) if size is not None and size.op_type == "Gather" else None
        if size is None or shape is None or shape.op_type != "Shape" or shape.attribute:
            continue
        fed, axis = shape.input[0], known.get(size.input[1])
        if (known.get(start), known.get(step)) == (0, 1) and fed in inputs and axis is not None and axis >= 0:
            found[fed, axis] = min(rows[node.output[0]], found.get((fed, axis), rows[node.output[0]]))
    return found


def _rows(graph: onnx.GraphProto) -> dict[str, int]:
    """Return the rows that values are indices of, by their names."""
    tables = dict(_shapes(graph))
    rows: dict[str, int] = {}
    needed = {value.name for value in graph.output}
    for node in reversed(graph.node):
        if needed.isdisjoint(node.output):
            continue
        needed.update(node.input)
        if node.domain not in ("", "ai.onnx"):
            continue
        if node.op_type == "Gather" and node.input[0] in tables:
            axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
            found, name = tables[node.input[0]][axis], node.input[1]
        elif keeps_values(node) and node.output[0] in rows:
            found, name = rows[node.output[0]], node.input[0]
        else:
            continue
        rows[name] = min(found, rows.get(name, found))
    return rows


def keeps_values(node: onnx.NodeProto) -> bool:
    """Whether a node gives the integers that it takes, in another form: int64, which others are made of, or int32."""
    wide = node.op_type == "Cast" and any(each.name == "to" and each.i in _WIDE for each in node.attribute)
    return wide or node.op_type in _SAME_VALUES


def _shapes(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    return ((name, tuple(tensor.dims)) for name, tensor in _constants(graph) if tensor.dims)


def _scalars(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    from onnx import numpy_helper

    for name, tensor in _constants(graph):
        if tensor.data_type in _WIDE and list(tensor.dims) in ([], [1]) and not tensor.external_data:
            yield name, int(numpy_helper.to_array(tensor).item())


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yield the constants by name; a default that may be fed is none."""
    fed = {value.name for value in graph.input}
    yield from ((tensor.name, tensor) for tensor in graph.initializer if tensor.name not in fed)
    for node in graph.node:
        if node.op_type == "Constant":
            yield from ((node.output[0], each.t) for each in node.attribute if each.name == "value")
