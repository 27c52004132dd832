"""Rewriting nodes one by one, each in a small model of its own, so that only one weight is in memory at a time.

onnxruntime's quantizers load a whole model, and some copy it: for a large one that is several times its size. Matrix
products and embedding tables are quantized each for itself, so a model that holds nothing else does as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from mlopt.compress.quantization.copies import Forms, separate
from mlopt.compress.quantization.prepared import RECURRENT, WEIGHTED, WorkingCopy, first_output
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.graph import nodes as all_nodes
from mlopt.formats.onnx.names import fresh, isolate, restore
from mlopt.formats.onnx.order import sort_nodes
from mlopt.formats.onnx.save import loaded

if TYPE_CHECKING:
    import onnx

_BEHIND = frozenset({"Add", "Mul", "Cast", "QuantizeLinear", "DequantizeLinear"})
"""What the quantizers put between a product in integers and the output of the layer that it was."""
Rewrite = Callable[["onnx.ModelProto", Collection[str]], "onnx.ModelProto"]


def rewrite_pieces(prepared: WorkingCopy, names: Sequence[str], rewrite: Rewrite, forms: Forms) -> onnx.ModelProto:
    """Return the prepared model with each of the named nodes as ``rewrite`` made it anew.

    ``rewrite`` gets a model of the nodes that share a weight, in one of the ``forms`` that it will have, with their
    constants and nothing else, all under tokens (see ``onnx_names``), and the names that these nodes have. It must keep
    the outputs' names. Constants that two pieces both add under one name are the same. Large weights that no one
    rewrote are not loaded.
    """
    proto = read_graph(prepared.path)
    graph = proto.graph
    separate(graph, forms)
    own = isolate(proto)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    chosen, pieces = {own.node(name): name for name in names}, dict[str, list["onnx.NodeProto"]]()
    for node in graph.node:
        if node.name in chosen:
            pieces.setdefault(_weight(node, constants), []).append(node)
    rewritten: dict[str, list[onnx.NodeProto]] = {}
    stored, made = set(constants), dict[str, "onnx.NodeProto"]()
    for piece in pieces.values():
        result = rewrite(_model(proto, piece, constants, prepared), [chosen[node.name] for node in piece])
        rewritten |= {node.name: [] for node in piece}
        rewritten[piece[0].name] = _new(result.graph, made)
        made |= {output: node for node in rewritten[piece[0].name] for output in node.output if output}
        graph.initializer.extend(tensor for tensor in result.graph.initializer if tensor.name not in stored)
        stored.update(tensor.name for tensor in result.graph.initializer)
        _add_opsets(proto, result)
    kept = [new for node in graph.node for new in rewritten.get(node.name, [node])]
    del graph.node[:]
    graph.node.extend(kept)
    _drop_unread(graph)
    sort_nodes(graph)
    restore(proto, own)
    return proto


def computed_by(op_types: Collection[str], graph: onnx.GraphProto, prepared: WorkingCopy) -> frozenset[str]:
    """Return the layers of the prepared model whose output a node of ``op_types`` computes in ``graph``.

    It may lie behind what scales it and adds a bias.
    """
    writers = {name: node for node in graph.node for name in node.output}
    found = set[str]()
    for node in read_graph(prepared.path).graph.node:
        writer = writers.get(first_output(node)) if node.op_type in (*WEIGHTED, RECURRENT) else None
        while writer is not None and writer.op_type in _BEHIND:
            writer = writers.get(writer.input[0])
        if writer is not None and writer.op_type in op_types:
            found.add(node.name)
    return frozenset(found)


def _weight(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> str:
    """Return the constant that a node is about: the table of a Gather, else the second factor."""
    names: Sequence[str] = node.input[1::-1]
    return next((name for name in names if name in constants), node.name)


def _model(
    proto: onnx.ModelProto,
    piece: Sequence[onnx.NodeProto],
    constants: Mapping[str, onnx.TensorProto],
    prepared: WorkingCopy,
) -> onnx.ModelProto:
    """Make a model of some nodes, their constants loaded."""
    from onnx import TensorProto, helper

    graph = proto.graph
    known = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
    made = {output for node in piece for output in node.output if output}
    read = dict.fromkeys(name for node in piece for name in node.input if name and name not in made)

    def value(name: str) -> onnx.ValueInfoProto:
        return known.get(name) or helper.make_tensor_value_info(name, TensorProto.FLOAT, None)

    model: onnx.ModelProto = helper.make_model(
        helper.make_graph(
            piece,
            "piece",
            [value(name) for name in read if name not in constants],
            [value(name) for name in sorted(made)],
            [loaded(constants[name], prepared.path.parent) for name in read if name in constants],
        ),
        opset_imports=proto.opset_import,
        ir_version=proto.ir_version,
    )
    return model


def _new(piece: onnx.GraphProto, made: Mapping[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return copies of what a piece adds to what others have ``made``; each node keeps all of its model in memory.

    Some of it may be there: the quantized form of an input that both read. And some of it may only be called the same:
    of the output of an embedding, the integers that its table holds are not those that its values are rounded to.
    """
    import onnx

    def same(node: onnx.NodeProto) -> bool:
        known = made.get(first_output(node))
        return known is not None and (known.op_type, known.input[:]) == (node.op_type, node.input[:])

    added = [node for node in piece.node if not same(node)]
    taken = {output for node in added for output in node.output if output in made}
    renamed = {name: fresh(name, made.keys()) for name in taken}
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in added]
    for node in copies:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    return copies


def _add_opsets(proto: onnx.ModelProto, result: onnx.ModelProto) -> None:
    known = {entry.domain for entry in proto.opset_import}
    proto.opset_import.extend(entry for entry in result.opset_import if entry.domain not in known)


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Forget constants that no node reads any more, in the graphs inside it neither."""
    read = {name for node in all_nodes(graph) for name in node.input} | {value.name for value in graph.output}
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in read:
            del graph.initializer[index]
