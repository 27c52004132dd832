"""Constants in the place of inputs, and what follows from them: sizes, conditions, the branches of If.

The folding is onnxscript's. It finds what reads a value through the value itself, not its name, so bodies inside
bodies, outer values and equal names in different branches stay apart. Nothing is computed from weights, which are
larger than what is folded here: ``simplify`` does that.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.formats.onnx.graph import nodes, subgraphs, uses
from mlopt.formats.onnx.names import fresh, value_names

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir
    from numpy.typing import NDArray

_ROUNDS = 20
_LARGEST = 1 << 13
"""The most elements of a constant that is read, or made: sizes and small tables, no weights."""
_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def fold(
    proto: onnx.ModelProto, constants: Mapping[str, NDArray[Any]], folder: Path
) -> tuple[onnx.ModelProto, str | None]:
    """Return the model with ``constants``, by name, where it read those inputs, and why no more was folded, if so.

    They stay inputs, which nothing reads. Tensors in other files, below ``folder``, stay there, and ``proto`` is not
    what it was. Raises ``ValueError`` for a graph that onnx_ir does not read.
    """
    import onnx_ir as ir

    _spell_out_text(proto)
    taken, sparse = value_names(proto.graph), list(proto.graph.sparse_initializer)
    if any(body.sparse_initializer for node in nodes(proto.graph) for body in subgraphs(node)):
        raise ValueError("a body holds sparse constants")
    try:
        model = ir.serde.deserialize_model(proto)
        ir.external_data.set_base_dir(model.graph, folder)
        for value in list(model.graph.inputs):
            name = str(value.name)
            if name in constants:
                _replace(model.graph, value, constants[name], fresh(f"{name}_fixed", taken))
        made, remark = ir.serde.serialize_model(model), None
    except _FAULTS as error:
        raise ValueError(_told(error)) from error
    try:
        made = _folded(model)
    except _FAULTS as error:
        remark = f"conditions and sizes were not folded: {_told(error)}"
    read = uses(made.graph)
    made.graph.sparse_initializer.extend(each for each in sparse if each.values.name in read)  # onnx_ir drops them
    return made, remark


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]


def _replace(graph: ir.Graph, value: ir.Value, array: NDArray[Any], name: str) -> None:
    """Let all nodes, those of bodies too, read a constant where they read an input."""
    import onnx_ir as ir

    text = array.dtype.kind == "U"
    tensor = (
        ir.StringTensor([str(each).encode() for each in array.flat], shape=ir.Shape(array.shape), name=name)
        if text else ir.tensor(array, name=name)
    )  # fmt: skip
    constant = ir.Value(name=name, type=value.type, shape=ir.Shape(array.shape), const_value=tensor)
    graph.register_initializer(constant)
    for node, index in list(value.uses()):
        node.replace_input_with(index, constant)


def _folded(model: ir.Model) -> onnx.ModelProto:
    """Fold until nothing changes, and keep all constants where passes look for weights."""
    import onnx_ir as ir
    from onnx_ir.passes import common
    from onnxscript import optimizer

    if model.functions:  # what a function decides hangs on who calls it
        common.InlinePass()(model)
        common.RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]
    for _ in range(_ROUNDS):
        _compare_text(model)
        result = optimizer.fold_constants_ir(
            model, onnx_shape_inference=True, input_size_limit=_LARGEST, output_size_limit=_LARGEST,
            should_fold=_wanted,
        )  # fmt: skip
        common.RemoveUnusedNodesPass()(model)
        if not result.modified:
            break
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.LiftSubgraphInitializersToMainGraphPass()(model)
    common.RemoveUnusedNodesPass()(model)
    common.NameFixPass()(model)
    proto: onnx.ModelProto = ir.serde.serialize_model(model)
    _forget_history(proto, optimizer.FOLDED_FROM_KEY)
    return proto


def _compare_text(model: ir.Model) -> None:
    """Put constants in the place of comparisons of texts, which onnx's reference only compares if of one length."""
    import numpy as np
    import onnx_ir as ir

    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        known = [None if value is None else ir.convenience.get_const_tensor(value) for value in node.inputs]
        texts = [tensor for tensor in known if tensor is not None and tensor.dtype == ir.DataType.STRING]
        if node.op_type == "Equal" and len(texts) == len(known):
            left, right = (np.array(tensor.numpy(), dtype=object) for tensor in texts)
            value = node.outputs[0]
            taken = {*model.graph.initializers, str(value.name)}
            equal = np.asarray(left == right, dtype=bool)
            tensor = ir.tensor(equal, name=fresh(f"{value.name}_known", taken))
            held = ir.Value(name=tensor.name, type=value.type, shape=ir.Shape(equal.shape), const_value=tensor)
            model.graph.register_initializer(held)
            for reader, index in list(value.uses()):
                reader.replace_input_with(index, held)


def _wanted(node: ir.Node) -> bool | None:
    """Read nothing large; fold small constants of one value, which onnxscript keeps: paddings are made of them."""
    known = [value.const_value for value in node.inputs if value is not None and value.const_value is not None]
    if any(tensor.size > _LARGEST for tensor in known):
        return False
    if node.op_type != "ConstantOfShape" or node.domain not in {"", "ai.onnx"} or not known:
        return None
    return bool(prod(known[0].numpy().tolist()) <= _LARGEST)


def _forget_history(proto: onnx.ModelProto, key: str) -> None:
    """Remove what onnxscript notes of each constant that it made: all names that went into it."""
    graphs = [proto.graph, *(body for node in nodes(proto.graph) for body in subgraphs(node))]
    for graph in graphs:
        for noted in (*graph.input, *graph.output, *graph.value_info, *graph.initializer, *graph.node):
            kept = [entry for entry in noted.metadata_props if entry.key != key]
            del noted.metadata_props[:]
            noted.metadata_props.extend(kept)


def _spell_out_text(proto: onnx.ModelProto) -> None:
    """Let constants that hold text hold it as tensors, in which onnxscript reads every letter."""
    from onnx import TensorProto, helper

    for node in nodes(proto.graph):
        for held in node.attribute if node.op_type == "Constant" else ():
            if held.name in {"value_string", "value_strings"}:
                texts = [held.s] if held.name == "value_string" else list(held.strings)
                shape = [] if held.name == "value_string" else [len(texts)]
                tensor = helper.make_tensor("", TensorProto.STRING, shape, texts)
                held.CopyFrom(helper.make_attribute("value", tensor))
