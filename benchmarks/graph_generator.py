"""Random, valid, small ONNX graphs from a seed, with what trips tools up: shared weights, outputs in the middle, names.

``generate(seed)`` gives the same graph each time. A graph has one to three inputs whose first axis is the batch, free
or fixed, five to thirty operators out of some ninety, opset 11 to 22, and one to four outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from graph_builder import DTYPES, Builder, Value
from graph_operators import OPERATORS
from graph_shapes import MOVES
from onnx import helper, numpy_helper

Array = np.ndarray[Any, Any]
_TABLE = (*OPERATORS, *MOVES)
_BATCH_NAMES = ("n", "n", "batch", "batch size", "unk__0", "?", "N*2", "x_0", "")
_SHAPES: tuple[tuple[int, ...], ...] = ((8,), (16,), (5, 8), (6, 4), (3, 8, 8), (4, 6, 6))
_SUFFIXES = (
    "_scale", "_zero_point", "_quantized", "_QuantizeLinear_Output", "_DequantizeLinear_Output", "_QuantizeLinear",
    "_DequantizeLinear", "_cast_0", "_output_cast0", "_Q4", "_quant", "_fp16", "_MatMul", "_output_0", "_reduce_axes",
    "_transposed",
)  # fmt: skip
_ODD = (
    "graph_input_cast_0", "graph_output_cast_0", "unk__0", "x y", "/a/b:0", "größe", "1", "a" * 200, "fixed", "'", '"',
    "%s", "{}", "input", "output", "<|x|>",
)  # fmt: skip


@dataclass(frozen=True)
class Graph:
    """A model, and the shape of each input, free sizes by name."""

    seed: int
    model: onnx.ModelProto
    inputs: dict[str, tuple[int | str, ...]]
    integers: frozenset[str]
    """The inputs that are int64."""

    def feeds(self, random: np.random.Generator, batch: int) -> dict[str, Array]:
        """Return random values for every input; a fixed batch stays as it is."""
        found: dict[str, Array] = {}
        for name, shape in self.inputs.items():
            sizes = [batch if isinstance(size, str) else size for size in shape]
            found[name] = (
                random.integers(0, 11, sizes) if name in self.integers else random.standard_normal(sizes, np.float32)
            )
        return found


def generate(seed: int) -> Graph:
    """Return the graph of a seed."""
    random = np.random.default_rng(seed)
    b = Builder(random, int(random.integers(11, 23)))
    batch: int | str = "n" if b.chance(0.75) else int(b.one_of([1, 2]))
    inputs = [Value(b.name("x"), (batch, *b.one_of(_SHAPES))) for _ in range(int(random.integers(1, 3)))]
    if b.chance(0.25):
        inputs.append(Value(b.name("x"), (batch, 4), "i"))
    b.values.extend(inputs)
    weights = np.array([weight for _, weight in _TABLE])
    wanted = int(random.integers(5, 31))
    while len(b.nodes) < wanted:
        _TABLE[int(random.choice(len(_TABLE), p=weights / weights.sum()))][0](b)
    outputs = _outputs(b, inputs)
    dim = str(b.one_of(_BATCH_NAMES))
    names = _names(b, inputs, outputs) if b.chance(0.5) else {}
    model = _model(b, inputs, outputs, names, dim)
    renamed = {names.get(value.name, value.name): value for value in inputs}
    integers = frozenset(name for name, value in renamed.items() if value.dtype == "i")
    return Graph(seed, model, {name: value.shape for name, value in renamed.items()}, integers)


def _outputs(b: Builder, inputs: list[Value]) -> list[Value]:
    """Choose outputs: of what nobody reads, and of what stands in the middle."""
    given = {value.name for value in inputs}
    computed = [value for value in b.values if value.name not in given] or list(inputs)
    read = {name for node in b.nodes for name in node.input}
    ends = [value for value in computed if value.name not in read] or computed[-1:]
    middle = [value for value in computed if value.name in read]
    wanted = [*ends[-int(b.random.integers(1, 4)) :]]
    if middle and b.chance(0.6):
        wanted.append(b.one_of(middle))
    return [wanted[int(place)] for place in b.random.permutation(len(wanted))]


def _names(b: Builder, inputs: list[Value], outputs: list[Value]) -> dict[str, str]:
    """Return new names for some tensors, such as tools make of the names of others."""
    known = [*(value.name for value in (*inputs, *outputs)), *b.weights, *(n for node in b.nodes for n in node.output)]
    known = list(dict.fromkeys(known))
    names: dict[str, str] = {}
    taken = set(known)
    for name in known:
        if b.chance(0.4):
            other = names.get(peer := str(b.one_of(known)), peer)
            new = str(b.one_of(_ODD)) if b.chance(0.15) else f"{other}{b.one_of(_SUFFIXES)}"
            if new not in taken:
                taken.add(new)
                names[name] = new
    return names


def _model(b: Builder, inputs: list[Value], outputs: list[Value], names: dict[str, str], dim: str) -> onnx.ModelProto:
    def info(value: Value) -> onnx.ValueInfoProto:
        shape = [(dim or None) if size == "n" else size for size in value.shape]
        return helper.make_tensor_value_info(names.get(value.name, value.name), DTYPES[value.dtype], shape)

    for node in b.nodes:
        rename(node, names)
    tensors = [numpy_helper.from_array(array, names.get(name, name)) for name, array in b.weights.items()]
    nodes = b.nodes
    if names and b.chance(0.3):
        for node in nodes:
            node.name = node.output[0] if b.chance(0.5) else node.name
    graph = helper.make_graph(nodes, "g", [info(v) for v in inputs], [info(v) for v in outputs], tensors)
    opsets = [helper.make_opsetid("", b.opset)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=min(10, 7 if b.opset < 15 else 8 if b.opset < 19 else 10)
    )


def rename(node: onnx.NodeProto, names: dict[str, str]) -> None:
    """Rename tensors wherever a node, or a body in it, names them."""
    for field in (node.input, node.output):
        renamed = [names.get(name, name) for name in field]
        del field[:]
        field.extend(renamed)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                rename(inner, names)
            for value in attribute.g.output:
                value.name = names.get(value.name, value.name)
