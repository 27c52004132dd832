"""Opening an ONNX file without trusting it: its interface, its files, and what makes it unusable, in plain words.

Only the graph is read; tensors in external data files are located and checked, never loaded.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.errors import ModelError
from mlopt.model import Kind, Model, TensorSpec, digest_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

_FIX = "export or download the model again"
_LFS, _HEAD = b"version https://git-lfs", 24


def open_onnx(path: Path) -> Model:
    """Return the model at ``path``; raises ``ModelError`` when it is missing, empty, truncated or unsafe."""
    proto = read_graph(path)
    files = (path, *external_files(path, proto))
    initializers = {tensor.name for tensor in proto.graph.initializer}
    inputs = tuple(_spec(value) for value in proto.graph.input if value.name not in initializers)
    outputs = tuple(_spec(value) for value in proto.graph.output)
    if not outputs:
        raise ModelError("the model has no outputs", where=str(path), fix=_FIX)
    return Model(Kind.ONNX, path, _digest(path, files), inputs, outputs, files)


def _digest(path: Path, files: tuple[Path, ...]) -> str:
    """One file's own SHA-256; with external data that of all files, whatever the graph's file is called."""
    if len(files) == 1:
        return digest_file(path)
    lines = [digest_file(path), *(f"{digest_file(file)}  {file.relative_to(path.parent)}" for file in files[1:])]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_graph(path: Path) -> onnx.ModelProto:
    """Read the graph without external tensors."""
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise ModelError("the model file does not exist", where=str(path), fix="check the path")
    if path.stat().st_size == 0:
        raise ModelError("the model file is empty", where=str(path), got="0 bytes", fix=_FIX)
    try:
        proto = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise _no_onnx(path) from error
    if not proto.graph.node and not proto.graph.output:
        raise ModelError("the file holds no ONNX graph", where=str(path), expected="an ONNX protobuf", fix=_FIX)
    return proto


def _no_onnx(path: Path) -> ModelError:
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if head.startswith(_LFS):
        return ModelError("this is a pointer of Git LFS, not the model", where=str(path), fix=f"git lfs pull -I {path}")
    return ModelError(
        "this is not a whole ONNX file: it is damaged or cut short, or of another format", where=str(path),
        got=f"{path.stat().st_size} bytes that start with {head!r}", expected="an ONNX protobuf", fix=_FIX,
    )  # fmt: skip


def external_files(path: Path, proto: onnx.ModelProto) -> tuple[Path, ...]:
    """Return the external data files, checked: relative, inside the model's folder, regular, large enough."""
    folder = path.parent.resolve()
    found: dict[Path, None] = {}
    for tensor in _tensors(proto):
        if not tensor.external_data:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        file = path.parent / location
        where = f"{path}: tensor '{tensor.name}'"
        if not location or Path(location).is_absolute() or ".." in Path(location).parts:
            raise ModelError(
                "the external data path leaves the model's folder", where=where, got=repr(location),
                expected="a relative path inside that folder", fix="save the model again with its data beside it",
            )  # fmt: skip
        if file.is_symlink() or not file.resolve().is_relative_to(folder):
            raise ModelError(
                "the external data path is a link", where=where, got=location, expected="a regular file",
                fix="replace the link by the file itself",
            )  # fmt: skip
        if not file.is_file():
            raise ModelError("an external data file is missing", where=where, got=location, fix=f"put it into {folder}")
        end = _number(entries, "offset", where) + _number(entries, "length", where)
        if end > file.stat().st_size:
            raise ModelError(
                "an external data file is cut short", where=where, got=f"{file.stat().st_size} bytes",
                expected=f"at least {end}", fix=_FIX,
            )  # fmt: skip
        found[file] = None
    return tuple(found)


def _number(entries: dict[str, str], key: str, where: str) -> int:
    text = entries.get(key, "0")
    if not (text.isascii() and text.isdigit()):
        raise ModelError(f"the {key} of the external data is no number", where=where, got=repr(text), fix=_FIX)
    return int(text)


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    graphs = [proto.graph]
    while graphs:
        graph = graphs.pop()
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
                if attribute.HasField("g"):
                    graphs.append(attribute.g)
                graphs.extend(attribute.graphs)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    import onnx

    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        return TensorSpec(value.name, value.type.WhichOneof("value") or "unknown", ())
    dtype = "string" if tensor.elem_type == onnx.TensorProto.STRING else _dtype(tensor.elem_type)
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or f"{value.name}_{axis}"
        for axis, dim in enumerate(tensor.shape.dim)
    )
    return TensorSpec(value.name, dtype, shape)


def _dtype(elem_type: int) -> str:
    import onnx

    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(elem_type).name)
    except KeyError:
        return "undefined"
