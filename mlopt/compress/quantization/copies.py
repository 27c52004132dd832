"""One constant, several readers: each form in which a constant will be stored has a tensor of its own.

A quantizer rounds a constant once, in the form that the last of its readers asks for: scales along the other axis for a
tied projection, the scale of another layer's input for a shared bias, whole numbers where a layer was to stay in
floating point. So before it starts, a constant that is wanted in several forms becomes several tensors. Readers that
agree keep sharing one, and those that are not rewritten keep the original.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.compress.quantization.weights import channel_axis
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.graph import uses
from mlopt.formats.onnx.names import fresh, value_names

if TYPE_CHECKING:
    import onnx

Form = Hashable | None
"""How a reader wants a constant to be stored; None: as it is."""
Forms = Callable[["onnx.NodeProto", int], Form]
_WEIGHTED = ("Conv", "MatMul", "Gemm")
_RECURRENT = "LSTM"
_ONLY_FIRST = ("Clip", "Resize", "Reshape", "Squeeze", "Unsqueeze")
"""Operators whose other inputs are no values that are rounded."""


def separate(graph: onnx.GraphProto, forms: Forms) -> dict[str, int]:
    """Give the nodes of ``graph`` a tensor for each form in which they want a float32 constant.

    Returns how many tensors each constant that was copied has become. Copies of external tensors refer to the same
    place in the same file.
    """
    floats = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == tensor.FLOAT}
    wanted: dict[str, dict[Form, list[tuple[onnx.NodeProto, int]]]] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in floats and (form := forms(node, index)) is not None:
                wanted.setdefault(name, {}).setdefault(form, []).append((node, index))
    readers, taken = uses(graph), value_names(graph)
    copied: dict[str, int] = {}
    for name, by_form in wanted.items():
        others = readers[name] > sum(map(len, by_form.values()))
        for number, places in enumerate(list(by_form.values())[0 if others else 1 :], start=1):
            own = fresh(f"{name}_mlopt_copy{number}", taken)
            taken.add(own)
            tensor = graph.initializer.add()
            tensor.CopyFrom(floats[name])
            tensor.name = own
            for node, index in places:
                node.input[index] = own
            copied[name] = number + 1
    return copied


def static_forms(nodes: Collection[str], per_tensor: Collection[str], *, per_channel: bool) -> Forms:
    """Return what Q/DQ pairs around ``nodes`` make of their constants.

    A bias is rounded in the scale of its own layer's input, so no two layers have it in one form.
    """
    chosen, whole = frozenset(nodes), frozenset(per_tensor)

    def form(node: onnx.NodeProto, index: int) -> Form:
        if node.name not in chosen or (index > 0 and node.op_type in _ONLY_FIRST):
            return None
        if node.op_type == _RECURRENT:
            return _of_recurrent(node, index)
        if node.op_type in _WEIGHTED and index == 1:
            by_channel = per_channel and node.name not in whole
            return "weight", channel_axis(node) if by_channel else None
        return (node.name, index) if node.op_type in _WEIGHTED else "activation"

    return form


def dynamic_forms(nodes: Collection[str], per_tensor: Collection[str]) -> Forms:
    """Return what onnxruntime's dynamic quantizer makes of the constants of ``nodes``: products, tables and LSTMs."""
    chosen, whole = frozenset(nodes), frozenset(per_tensor)

    def form(node: onnx.NodeProto, index: int) -> Form:
        if node.name not in chosen:
            return None
        if node.op_type == "Gather":
            return "table" if index == 0 else None
        if node.op_type in _WEIGHTED:
            return ("weight", channel_axis(node), node.name in whole) if index == 1 else None
        return _of_recurrent(node, index)

    return form


def _of_recurrent(node: onnx.NodeProto, index: int) -> Form:
    """The quantizer brings both weights into another layout, for each layer anew."""
    return (node.name, index) if index in {1, 2} else None


def remarks(path: Path, forms: Forms) -> tuple[str, ...]:
    """Say which weights of the model at ``path`` will be stored more than once; of vectors nobody needs to know."""
    graph = read_graph(path).graph
    large = {tensor.name for tensor in graph.initializer if len(tensor.dims) > 1}
    return tuple(
        f"weight '{name}' is stored {count} times, since its readers want it in different forms"
        for name, count in separate(graph, forms).items()
        if name in large
    )
