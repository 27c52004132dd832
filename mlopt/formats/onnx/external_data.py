"""The tensors of an ONNX model that stand in other files: found wherever a graph may hold one, and checked, not loaded.

A file of the model's names those files, so it may name any: everything that reads them (onnx, ONNX Runtime, the copy
into an artifact) comes after these checks, and none of it opens what is refused here.
"""

from __future__ import annotations

import math
import os
import stat
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import onnx

_FIX = "export or download the model again"
_MOST_DIGITS = 19


def external_files(path: Path, proto: onnx.ModelProto) -> tuple[Path, ...]:
    """Return the external data files of the model at ``path``, each once, in the order in which tensors name them.

    Each is relative to the model's folder and inside it, regular, with one name, reached without a link, and holds what
    its tensors read from it; tensors may share bytes. Raises ``ModelError``.
    """
    found: dict[Path, int] = {}
    for tensor in tensors(proto):
        if not tensor.external_data and tensor.data_location != tensor.EXTERNAL:
            continue
        where = f"{path}: tensor {tensor.name!a}"
        entries = _entries(tensor, where)
        file = path.parent / _location(entries, where)
        if file not in found:
            found[file] = _checked_size(file, path.parent, where)
        _check_range(tensor, entries, found[file], where)
    return tuple(found)


def tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor: of the graph, its subgraphs, functions and training graphs, dense and sparse."""
    graphs = [proto.graph, *(graph for info in proto.training_info for graph in (info.initialization, info.algorithm))]
    for function in proto.functions:
        yield from _of_attributes(function.attribute_proto, graphs)
        for node in function.node:
            yield from _of_attributes(node.attribute, graphs)
    while graphs:
        graph = graphs.pop()
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for node in graph.node:
            yield from _of_attributes(node.attribute, graphs)


def _of_attributes(
    attributes: Iterable[onnx.AttributeProto], graphs: list[onnx.GraphProto]
) -> Iterator[onnx.TensorProto]:
    """Yield the tensors in attributes, and add the graphs in them to ``graphs``."""
    for attribute in attributes:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        lone = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
        for sparse in (*lone, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        if attribute.HasField("g"):
            graphs.append(attribute.g)
        graphs.extend(attribute.graphs)


def _entries(tensor: onnx.TensorProto, where: str) -> dict[str, str]:
    """Return where the data is, by key; readers differ on a tensor that says two things, so it must say one."""
    inside = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
    held = [name for name in inside if getattr(tensor, name)]
    if held or tensor.data_location != tensor.EXTERNAL:
        raise ModelError(
            "the tensor has its data both in the model and in another file", where=where,
            got=", ".join(held) or "external_data without data_location", expected="one of the two", fix=_FIX,
        )  # fmt: skip
    counts = Counter(entry.key for entry in tensor.external_data)
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        raise ModelError("the tensor says twice where its data is", where=where, got=ascii(twice[0]), fix=_FIX)
    return {entry.key: entry.value for entry in tensor.external_data}


def _location(entries: dict[str, str], where: str) -> str:
    """Return the path as written; ``*`` is refused because ONNX Runtime uses such names for addresses in memory."""
    location = entries.get("location", "")
    if not location or Path(location).is_absolute() or ".." in Path(location).parts:
        raise ModelError(
            "the external data path leaves the model's folder", where=where, got=ascii(location),
            expected="a relative path inside that folder", fix="save the model again with its data beside it",
        )  # fmt: skip
    if not location.isprintable() or "*" in location or "\\" in location or Path(location) == Path():
        raise ModelError(
            "the external data path is no plain file name", where=where, got=ascii(location)[:200],
            expected="a path such as model.onnx.data", fix="save the model again with its data beside it",
        )  # fmt: skip
    return location


def _checked_size(file: Path, folder: Path, where: str) -> int:
    """Return the size in bytes of a file that is one plain file below ``folder``."""
    location = file.relative_to(folder)
    steps = [folder.joinpath(*location.parts[:count]) for count in range(1, len(location.parts) + 1)]
    try:
        if any(step.is_symlink() for step in steps):
            raise ModelError(
                "the external data path is a link", where=where, got=str(location), expected="a regular file",
                fix="replace the link by the file itself",
            )  # fmt: skip
        status = os.lstat(file)
    except OSError as error:
        raise ModelError(
            "an external data file is missing",
            where=where,
            got=str(location)[:200],
            fix=f"put it into {folder.resolve()}",
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise ModelError("the external data is no regular file", where=where, got=str(location), fix=_FIX)
    if status.st_nlink != 1:
        raise ModelError(
            "the external data file has other names (hard links), so it may be somebody else's", where=where,
            got=f"{location}: {status.st_nlink} names", fix="copy the file, and put the copy in its place",
        )  # fmt: skip
    return status.st_size


def _check_range(tensor: onnx.TensorProto, entries: dict[str, str], size: int, where: str) -> None:
    """Check that what the tensor reads is exactly what its shape takes, and is there."""
    needed, offset = size_of(tensor, where), _number(entries, "offset", 0, where)
    length = _number(entries, "length", needed, where)
    if length != needed:
        raise ModelError(
            "the length of the external data does not fit the tensor's shape", where=where, got=f"{length} bytes",
            expected=f"{needed}", fix=_FIX,
        )  # fmt: skip
    if offset + length > size:
        raise ModelError(
            "an external data file is cut short", where=where, got=f"{size} bytes",
            expected=f"at least {offset + length}", fix=_FIX,
        )  # fmt: skip


def _number(entries: dict[str, str], key: str, default: int, where: str) -> int:
    text = entries.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ModelError(f"the {key} of the external data is no number", where=where, got=ascii(text)[:200], fix=_FIX)
    return int(text)


def size_of(tensor: onnx.TensorProto, where: str) -> int:
    """Return the bytes of the tensor's elements; of those smaller than a byte, several share one."""
    import onnx

    name = onnx.TensorProto.DataType.Name(tensor.data_type) if tensor.data_type in _types() else "UNDEFINED"
    if name in {"UNDEFINED", "STRING", "FLOAT6E2M3", "FLOAT6E3M2"}:
        raise ModelError("mlopt knows no external data of this dtype", where=where, got=name.lower(), fix=_FIX)
    if any(dim < 0 for dim in tensor.dims):
        raise ModelError("the tensor has a negative size", where=where, got=str(list(tensor.dims))[:200], fix=_FIX)
    packed = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
    bits = packed.get(name) or 8 * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    count: int = math.prod(tensor.dims)
    return -(-count * bits // 8)


def _types() -> Iterable[int]:
    import onnx

    values: Iterable[int] = onnx.TensorProto.DataType.values()
    return values
