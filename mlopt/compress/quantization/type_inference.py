"""The types of tensors that ONNX's own inference does not know: what onnxruntime's operators, and others', write.

A tensor without a type is not observed, and so neither quantized well nor known to fit into 16 bits. onnxruntime knows
the types of everything that it loads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.formats.onnx.file import read_graph
from mlopt.runtimes.onnxruntime import quiet_session, runtime_errors

if TYPE_CHECKING:
    import onnx


def add_missing_types(path: Path) -> None:
    """Write into the file at ``path`` the types that are missing; of a model that does not load, none."""
    proto = read_graph(path)
    names = untyped(proto.graph)
    found = _types(proto, names, path.parent) if names else {}
    if found:
        _add(proto.graph, found)
        path.write_bytes(proto.SerializeToString())


def untyped(graph: onnx.GraphProto) -> tuple[str, ...]:
    """Return what nodes write and nothing in the file gives a type."""
    typed = {value.name for value in (*graph.input, *graph.value_info, *graph.output) if value.type.WhichOneof("value")}
    return tuple(name for node in graph.node for name in node.output if name and name not in typed)


def _types(proto: onnx.ModelProto, names: Sequence[str], folder: Path) -> dict[str, int]:
    """Ask onnxruntime for the ONNX types of tensors; ``folder`` is where external data are found."""
    import onnx

    own = len(proto.graph.output)
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".onnx") as copy:
            onnx.save(proto, copy.name)
            session = quiet_session(Path(copy.name), "none")
    except runtime_errors():
        return {}
    finally:
        del proto.graph.output[own:]
    kinds = {f"tensor({kind.lower()})": number for kind, number in onnx.TensorProto.DataType.items()}
    given = {value.name: value.type for value in session.get_outputs()}
    return {name: kinds[given[name]] for name in names if given[name] in kinds}


def _add(graph: onnx.GraphProto, types: dict[str, int]) -> None:
    import onnx

    known = {value.name: value for value in graph.value_info}
    for name, elem_type in types.items():
        typed = onnx.helper.make_tensor_value_info(name, elem_type, None)
        if name in known:
            known[name].CopyFrom(typed)
        else:
            graph.value_info.append(typed)
