"""Names that no tool's own can be equal to, for as long as a tool works on a graph.

Tools name what they add after what is there: ``w_scale`` beside ``w``, ``b0`` beside ``b``, ``graph_output_cast_0``. A
model may hold a tensor of that very name, and then one of the two silently takes the place of the other: a factor of
2 became the scale of a weight, and outputs 3,000 times too large looked right in their direction. So a tool only ever
sees tokens, none of which is the beginning or the end of another. Afterwards everything has the model's own name again,
what the tool made is named after that, and what would then be equal to another name gets one that is free.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from mlopt.formats.onnx.graph import subgraphs

if TYPE_CHECKING:
    import onnx

_TOKEN = re.compile(r"mlopt\d+[vn]")
"""``v`` of a value, ``n`` of a node: tools also name values after nodes."""
Rename = Callable[[str], str]


@dataclass
class Names:
    """The tokens of a model's own names: one name has one token in all graphs inside each other."""

    values: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """Return the token of a tensor; of what has no name, none."""
        return self.values.setdefault(name, f"mlopt{len(self.values)}v") if name else ""

    def node(self, name: str) -> str:
        """Return the token of a node; of what has no name, none."""
        return self.nodes.setdefault(name, f"mlopt{len(self.nodes)}n") if name else ""


def isolate(proto: onnx.ModelProto) -> Names:
    """Put a token in the place of every name, in the graphs inside nodes too; functions keep theirs, within them."""
    names = Names()
    _rename(proto.graph, names.value, names.node)
    return names


def restore(proto: onnx.ModelProto, names: Names) -> None:
    """Give back the model's own names in what a tool made of an isolated model."""
    own = {token: name for known in (names.values, names.nodes) for name, token in known.items()}
    _rename(proto.graph, _back(own, names.values), _back(own, names.nodes))


def value_names(graph: onnx.GraphProto) -> set[str]:
    """Return the names of all values, of those in the graphs inside nodes too."""
    found = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    found.update(sparse.values.name for sparse in graph.sparse_initializer)
    for node in graph.node:
        found.update(node.input, node.output, *(value_names(body) for body in subgraphs(node)))
    return found


def fresh(name: str, taken: Collection[str]) -> str:
    """Return ``name``, with a number behind it if it is taken."""
    return name if name not in taken else next(free for n in count(1) if (free := f"{name}_{n}") not in taken)


def _back(own: dict[str, str], taken: Collection[str]) -> Rename:
    """Return the way back for names of one kind, of which the model's own are ``taken``."""
    found: dict[str, str] = {}
    used = set(taken)

    def rename(name: str) -> str:
        if not name or name not in found:
            new = own.get(name, name)
            if name and name not in own:
                new = fresh(_TOKEN.sub(lambda token: own.get(token[0], token[0]), name), used)
                used.add(new)
            found[name] = new
        return found[name]

    return rename


def _rename(graph: onnx.GraphProto, value: Rename, node: Rename) -> None:
    for named in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        named.name = value(named.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = value(sparse.values.name)
    for annotation in graph.quantization_annotation:
        annotation.tensor_name = value(annotation.tensor_name)
        for parameter in annotation.quant_parameter_tensor_names:
            parameter.value = value(parameter.value)
    for each in graph.node:
        each.name = node(each.name)
        each.input[:] = [value(name) for name in each.input]
        each.output[:] = [value(name) for name in each.output]
        for body in subgraphs(each):
            _rename(body, value, node)
