"""Which nodes a pass hurt most, from one comparison of its input and its output: the order in which they are tried."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.compress.quantization.graph import prepare
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.graph import node_names
from mlopt.formats.table import graph_of
from mlopt.tensors import TensorDifference, quality

if TYPE_CHECKING:
    import onnx

_LOST = 1e6
"""More noise than this, as a multiple of the signal's energy, is no worse."""


@dataclass(frozen=True)
class Suspect:
    """One node, and how far what it writes is from what it wrote before the pass."""

    node: str
    op_type: str
    tensor: str | None
    """Its worst output, or the first tensor after it that was compared; None if there is none."""
    sqnr_db: float | None
    """None: that tensor is equal, or there is none."""
    channel_db: float | None
    """The same of the median channel."""


def suspects(model: Model, differences: Sequence[TensorDifference], spared: Collection[str]) -> list[Suspect]:
    """Return nodes of a pass's input, those that add most noise first; ``spared`` were not changed by the pass.

    After each come its neighbours: a tensor stays in floating point only where what writes it and what reads it do.
    """
    graph = _Graph.of(model)
    known = {each.tensor: each for each in differences}
    noise = {each.tensor: min(10 ** (-quality(each) / 10), _LOST) for each in differences}
    added = {
        each.tensor: noise[each.tensor] - max((noise[name] for name in each.reads), default=0.0) for each in differences
    }
    worst = sorted((name for name in added if added[name] > 0 and name in graph.writers), key=lambda name: -added[name])
    near = (name for tensor in worst for name in graph.around(graph.writers[tensor]))
    return [_suspect(name, graph, known) for name in dict.fromkeys(near) if name not in spared]


def untouched(before: Model, after: Model) -> frozenset[str]:
    """Return the nodes of a pass's input that stand in its output as they were, with the same constants.

    In half precision nodes look as before and compute in other types, so of such an output this says nothing.
    """
    import onnx

    graph, own = graph_of(after).graph, graph_of(before).graph
    if {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16} & {tensor.data_type for tensor in graph.initializer}:
        return frozenset()
    constants = [{tensor.name: tensor for tensor in each.initializer} for each in (own, graph)]
    changed = {name for name, tensor in constants[0].items() if tensor != constants[1].get(name, tensor)}
    standing = {_as_it_is(node) for node in graph.node}
    nodes = zip(node_names(own), own.node, strict=True)
    return frozenset(name for name, n in nodes if _as_it_is(n) in standing and changed.isdisjoint(n.input))


def _as_it_is(node: onnx.NodeProto) -> tuple[object, ...]:
    attributes = sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)
    return node.op_type, *node.input, "", *node.output, *attributes


def _suspect(name: str, graph: _Graph, known: Mapping[str, TensorDifference]) -> Suspect:
    """Describe a node by its worst output, or by what is computed from it first, where that was fused away."""
    names, compared = [name], list[TensorDifference]()
    while names and not compared:
        tensors = [tensor for each in names for tensor in graph.nodes[each].output]
        compared = [known[tensor] for tensor in tensors if tensor in known]
        names = [reader for tensor in tensors for reader in graph.readers.get(tensor, ())]
    op_type = graph.nodes[name].op_type
    if not compared:
        return Suspect(name, op_type, None, None, None)
    worst = min(compared, key=quality)
    return Suspect(name, op_type, worst.tensor, worst.sqnr_db, worst.channel_db)


@dataclass(frozen=True)
class _Graph:
    """Who writes a tensor, and who reads it; by the names by which passes know the nodes."""

    nodes: Mapping[str, onnx.NodeProto]
    writers: Mapping[str, str]
    readers: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, model: Model) -> _Graph:
        with tempfile.TemporaryDirectory() as folder:
            nodes = read_graph(prepare(model, Path(folder)).path).graph.node  # names those that have none, too
        writers = {tensor: node.name for node in nodes for tensor in node.output if tensor}
        readers: dict[str, list[str]] = {}
        for node in nodes:
            for tensor in filter(None, node.input):
                readers.setdefault(tensor, []).append(node.name)
        return cls({node.name: node for node in nodes}, writers, readers)

    def around(self, name: str) -> list[str]:
        """Return a node, those that read what it writes, and those that write what it reads."""
        node = self.nodes[name]
        after = [reader for tensor in node.output for reader in self.readers.get(tensor, ())]
        return [name, *after, *(self.writers[tensor] for tensor in node.input if tensor in self.writers)]
