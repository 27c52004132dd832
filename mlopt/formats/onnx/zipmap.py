"""Taking out ZipMap: scikit-learn's converters end in it, and it makes a map of each row of probabilities.

A sequence of maps can be neither fed nor compared nor run fast, and says nothing that the tensor which it is made of
does not: the columns are the classes, in the order of the node's labels. So that tensor becomes the output, under the
output's name; the rest of the graph stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx, read_graph
from mlopt.formats.onnx.graph import EXTERNAL_DATA_ABOVE, node_names, nodes, strip_unused_opsets
from mlopt.formats.onnx.save import save_model

if TYPE_CHECKING:
    import onnx

_SHOWN = 8


@dataclass(frozen=True)
class Unzipped:
    """An output that was a sequence of maps, and the classes that its columns now stand for."""

    output: str
    classes: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {len(self.classes) - _SHOWN} more" if len(self.classes) > _SHOWN else ""
        return (
            f"ZipMap was taken out: output '{self.output}' is a tensor now, no map; its columns are the classes "
            f"{', '.join(self.classes[:_SHOWN])}{more}"
        )


def ends_in_zipmap(model: Model) -> bool:
    """Whether an output is a map that ZipMap makes."""
    return any(spec.dtype == "sequence_type" for spec in model.outputs) and bool(_zipmaps(read_graph(model.path).graph))


def write_unzipped(model: Model, path: Path) -> tuple[Model, tuple[Unzipped, ...]]:
    """Write the model without the ZipMap of its outputs to ``path``, and return it with what was changed."""
    proto = read_graph(model.path)
    found = tuple(unzip(proto))
    save_model(proto, path, external=model.size_bytes > EXTERNAL_DATA_ABOVE, source=model.path.parent)
    return open_onnx(path), found


def unzip(proto: onnx.ModelProto) -> list[Unzipped]:
    """Take each ZipMap that makes an output out of the graph, in place; return what the outputs stand for."""
    graph, found = proto.graph, []
    public = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    for node in _zipmaps(graph):
        tensor, output = node.input[0], node.output[0]
        classes = _classes(node)
        graph.node.remove(node)
        if tensor in public or _inside(graph, tensor):
            _copied(graph, tensor, output)
        else:
            _renamed(graph, tensor, output)
        _declare(graph, output, len(classes))
        found.append(Unzipped(output, classes))
    strip_unused_opsets(proto)
    return found


def _zipmaps(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    outputs = {value.name for value in graph.output}
    return [node for node in graph.node if node.op_type == "ZipMap" and node.output and node.output[0] in outputs]


def _classes(node: onnx.NodeProto) -> tuple[str, ...]:
    for attribute in node.attribute:
        if attribute.name == "classlabels_strings":
            return tuple(text.decode(errors="replace") for text in attribute.strings)
        if attribute.name == "classlabels_int64s":
            return tuple(map(str, attribute.ints))
    return ()


def _inside(graph: onnx.GraphProto, name: str) -> bool:
    """Whether a graph inside a node may read the value."""
    outer = {id(node) for node in graph.node}
    return any(name in node.input for node in nodes(graph) if id(node) not in outer)


def _copied(graph: onnx.GraphProto, tensor: str, output: str) -> None:
    """Let an operator that does nothing give the tensor its second name."""
    import onnx

    name, taken = f"{output}_tensor", set(node_names(graph))
    while name in taken:
        name += "_"
    graph.node.append(onnx.helper.make_node("Identity", [tensor], [output], name=name))


def _renamed(graph: onnx.GraphProto, tensor: str, output: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == tensor:
                    names[place] = output
    for value in [value for value in graph.value_info if value.name in {tensor, output}]:
        graph.value_info.remove(value)


def _declare(graph: onnx.GraphProto, output: str, classes: int) -> None:
    """Give the output the type that ZipMap takes: float32, a row for each sample."""
    import onnx

    value = next(value for value in graph.output if value.name == output)
    rows = [each.type.tensor_type.shape.dim for each in graph.input if each.type.HasField("tensor_type")]
    first: int | str | None = None
    if rows and rows[0]:
        first = rows[0][0].dim_param or (rows[0][0].dim_value or None)
    made = onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, [first, classes or None])
    value.type.CopyFrom(made.type)
