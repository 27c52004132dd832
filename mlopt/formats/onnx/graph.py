"""Questions to an ONNX graph, and the small edits that several passes need. Weights are never touched."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

EXTERNAL_DATA_ABOVE = 1_500_000_000
"""Bytes of weights that a file may hold itself: a protobuf holds less than 2 GiB, and the graph needs room too."""
WORKED_ON_OUTSIDE_ABOVE = 32_000_000
"""Bytes of weights above which passes work on a copy with its weights in another file, which nobody has to hold."""


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs in a node's attributes: the branches of If, the bodies of Loop and Scan."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield every node, those of subgraphs included."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from nodes(inner)


def node_names(graph: onnx.GraphProto) -> list[str]:
    """Return a name of its own for every node of the graph: that which it has, or its operator and a number.

    These are the names by which nodes are excluded and reported. Constants do not count, so that a graph whose
    constants became initializers has the same.
    """
    taken = {node.name for node in graph.node if node.name}
    names: list[str] = []
    used: set[str] = set()
    computing = 0
    for node in graph.node:
        name = node.name
        if not name or name in used:
            stem = name or node.op_type
            name = next(free for n in count(computing) if (free := f"{stem}_{n}") not in taken)
            taken.add(name)
        used.add(name)
        names.append(name)
        computing += node.op_type != "Constant"
    return names


def operators(graph: onnx.GraphProto) -> dict[str, int]:
    """Count the operators, the most frequent first; those of other domains as ``domain::Op``."""
    counts = Counter(f"{node.domain}::{node.op_type}" if node.domain else node.op_type for node in nodes(graph))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def changed_operators(before: dict[str, int], after: dict[str, int]) -> dict[str, list[int]]:
    """Return ``{operator: [count before, count after]}`` where the two differ."""
    names = sorted(before.keys() | after.keys())
    return {name: [old, new] for name in names if (old := before.get(name, 0)) != (new := after.get(name, 0))}


def public_values(graph: onnx.GraphProto) -> frozenset[str]:
    """Return what is seen of a graph beside what its own nodes read: its outputs, and what graphs inside them read."""
    return read_inside(graph).union(value.name for value in graph.output)


def read_inside(graph: onnx.GraphProto) -> frozenset[str]:
    """Return what graphs inside nodes, the bodies of If, Loop and Scan, read by name."""
    bodies = (body for node in graph.node for body in subgraphs(node))
    return frozenset(name for body in bodies for node in body.node for name in reads(node))


def uses(graph: onnx.GraphProto) -> Counter[str]:
    """Count how often each value is read: by nodes, by those of graphs inside them, and as an output."""
    read = Counter(name for node in nodes(graph) for name in node.input)
    read.update(value.name for value in graph.output)
    return read


def default_opset(proto: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that the model uses; 0 if it uses none."""
    return max((entry.version for entry in proto.opset_import if entry.domain in {"", "ai.onnx"}), default=0)


def with_defaults(graph: onnx.GraphProto) -> frozenset[str]:
    """Return the names of constants: an input of that name has a default, and a caller may leave it out."""
    sparse = (tensor.values.name for tensor in graph.sparse_initializer)
    return frozenset(tensor.name for tensor in graph.initializer).union(sparse)


def strip_initializer_inputs(proto: onnx.ModelProto) -> int:
    """Remove the inputs that only give initializers a default, as IR version 3 asked for; return how many.

    A caller may override such an input, so no optimizer may fold it. IR version 4 is the first that can do without.
    """
    graph = proto.graph
    weights = with_defaults(graph)
    kept = [value for value in graph.input if value.name not in weights]
    stripped = len(graph.input) - len(kept)
    if stripped:
        del graph.input[:]
        graph.input.extend(kept)
        proto.ir_version = max(proto.ir_version, 4)
    return stripped


def keep_interface(proto: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Declare inputs and outputs as the model that this one was made from does, and say of it what that one says.

    Optimizers name dynamic dimensions anew, give sizes to some and forget others; a caller knows them by the old names.
    Some sign as the producer and write their settings and statistics among the author's properties, or forget these.
    """
    for values, declared in ((proto.graph.input, source.graph.input), (proto.graph.output, source.graph.output)):
        known = {value.name: value for value in declared}
        for value in values:
            if value.name in known:
                value.CopyFrom(known[value.name])
    describe(proto, source)


def interface_of(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return what ``keep_interface`` needs of a model, which need not be held any longer for it."""
    import onnx

    told = onnx.ModelProto(graph=onnx.GraphProto(input=proto.graph.input, output=proto.graph.output))
    describe(told, proto)
    return told


def describe(proto: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Let ``proto`` have the names, texts and properties of ``source``."""
    for name in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        setattr(proto, name, getattr(source, name))
    for name in ("name", "doc_string"):
        setattr(proto.graph, name, getattr(source.graph, name))
    for own, given in ((proto, source), (proto.graph, source.graph)):
        del own.metadata_props[:]
        own.metadata_props.extend(given.metadata_props)


def strip_unused_opsets(proto: onnx.ModelProto) -> None:
    """Forget operator sets that no node uses: a runtime that does not know one refuses the whole model."""
    used = {node.domain for node in nodes(proto.graph)} | {node.domain for f in proto.functions for node in f.node}
    used = {"" if domain == "ai.onnx" else domain for domain in used} | {""}
    kept = [entry for entry in proto.opset_import if ("" if entry.domain == "ai.onnx" else entry.domain) in used]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads, through its subgraphs too, which may use any name of the graphs around them."""
    yield from node.input
    for body in subgraphs(node):
        for inner in body.node:
            yield from reads(inner)
        yield from (value.name for value in body.output)
