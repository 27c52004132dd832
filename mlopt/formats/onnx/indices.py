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
    tables = dict(_shapes(graph))
    rows: dict[str, int] = {}
    needed = {value.name for value in graph.output}
    for node in reversed(graph.node):
        if needed.isdisjoint(node.output) or node.domain not in ("", "ai.onnx"):
            needed.update(() if needed.isdisjoint(node.output) else node.input)
            continue
        needed.update(node.input)
        if node.op_type == "Gather" and node.input[0] in tables:
            axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
            found, name = tables[node.input[0]][axis], node.input[1]
        elif keeps_values(node) and node.output[0] in rows:
            found, name = rows[node.output[0]], node.input[0]
        else:
            continue
        rows[name] = min(found, rows.get(name, found))
    inputs = {value.name for value in graph.input if value.type.tensor_type.elem_type in _WIDE}
    return {name: size for name, size in rows.items() if name in inputs}


def keeps_values(node: onnx.NodeProto) -> bool:
    """Whether a node gives the integers that it takes, in another form: int64, which others are made of, or int32."""
    wide = node.op_type == "Cast" and any(each.name == "to" and each.i in _WIDE for each in node.attribute)
    return wide or node.op_type in _SAME_VALUES


def _shapes(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the constants that are not scalars, with their shapes; a default that may be fed is none."""
    fed = {value.name for value in graph.input}
    held = [(tensor.name, tensor) for tensor in graph.initializer if tensor.name not in fed]
    made = [(node.output[0], each.t) for node in graph.node if node.op_type == "Constant"
            for each in node.attribute if each.name == "value"]  # fmt: skip
    for name, tensor in (*held, *made):
        if tensor.dims:
            yield name, tuple(tensor.dims)
