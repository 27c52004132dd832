"""Writing an ONNX file without holding its weights: tensors in other files are copied from file to file, one at a time.

onnx's own writer wants the whole model loaded and makes a second copy of it, so a large model would cost twice its size
in memory before any work is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from mlopt.formats.onnx import graph as onnx_graph
from mlopt.formats.onnx.external_data import size_of, tensors

if TYPE_CHECKING:
    import onnx
    from google.protobuf.message import Message

    M = TypeVar("M", bound=Message)

_SMALLEST = 1024
"""Bytes from which on a weight is worth a place in the other file."""
_PAGE = 4096
"""Where each tensor starts: only whole pages can be mapped into memory."""
_GRAPH, _INITIALIZER, _RAW_DATA = b"\x3a", b"\x2a", b"\x4a"
"""As protobuf announces ModelProto.graph (field 7), GraphProto.initializer (5) and TensorProto.raw_data (9)."""


def save_model(proto: onnx.ModelProto, path: Path, *, external: bool, source: Path) -> None:
    """Write a model; with ``external``, its weights go to ``<name>.onnx.data`` beside it.

    What is small stays inside, where tools look for sizes and axes.
    Tensors of ``proto`` that are not loaded are read from their files below the folder ``source``. Afterwards ``proto``
    is what was written: without its weights, if they are external; those that are not loaded may stay so.
    """
    import onnx

    data = path.with_name(f"{path.name}.data")
    if external:
        load_small_tensors(proto, source)
        outside = [tensor for tensor in tensors(proto) if tensor.external_data]
        inside = [tensor for tensor in proto.graph.initializer if len(tensor.raw_data) >= _SMALLEST]
        with data.open("wb") as stream:
            for tensor in (*outside, *inside):
                _move(tensor, stream, data.name, source)
    else:
        data.unlink(missing_ok=True)
        if sum(map(_size, proto.graph.initializer)) > onnx_graph.WORKED_ON_OUTSIDE_ABOVE:
            _write_in_pieces(proto, path, source)
            return
        load_tensors(proto, source)
    onnx.save(proto, path)


def without_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that says of its weights what they are, and not their values: for what looks at shapes alone.

    What is small, and may be sizes or axes, stays. The copy cannot be run.
    """
    import onnx

    copy = _without(proto, "graph")
    copy.graph.CopyFrom(_without(proto.graph, "initializer"))
    for tensor in proto.graph.initializer:
        if tensor.external_data or not tensor.HasField("raw_data") or _size(tensor) < _SMALLEST:
            copy.graph.initializer.add().CopyFrom(tensor)
            continue
        kept = copy.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        kept.data_location = onnx.TensorProto.EXTERNAL
        kept.external_data.add(key="location", value="left out")
    return copy


def _size(tensor: onnx.TensorProto) -> int:
    """Return the bytes of a tensor that may be written apart from what describes it; 0 if it has its data otherwise."""
    return size_of(tensor, tensor.name) if tensor.external_data or tensor.HasField("raw_data") else 0


def _write_in_pieces(proto: onnx.ModelProto, path: Path, source: Path) -> None:
    """Write a model with its weights inside, as the protobuf that it is, but one weight at a time."""
    weights, shell = proto.graph.initializer, _without(proto, "graph")
    shell.graph.CopyFrom(_without(proto.graph, "initializer"))
    load_tensors(shell, source)
    rest = shell.graph.SerializeToString()
    shell.ClearField("graph")
    sizes = [sum(map(len, _pieces(tensor, source))) for tensor in weights]
    with path.open("wb") as stream:
        stream.write(shell.SerializeToString())
        stream.write(_GRAPH + _varint(len(rest) + sum(1 + len(_varint(size)) + size for size in sizes)) + rest)
        for tensor, size in zip(weights, sizes, strict=True):
            stream.write(_INITIALIZER + _varint(size))
            stream.writelines(_pieces(tensor, source))


def _pieces(tensor: onnx.TensorProto, source: Path) -> Iterator[bytes]:
    """Yield a tensor as a protobuf with its data inside."""
    whole = loaded(tensor, source)
    whole.ClearField("data_location")  # it is inside, which need not be said
    if not whole.HasField("raw_data"):
        yield whole.SerializeToString()
        return
    content = whole.raw_data
    whole.ClearField("raw_data")
    yield whole.SerializeToString()
    yield _RAW_DATA + _varint(len(content))
    yield content


def _without(message: M, left_out: str) -> M:
    """Return a copy without one field, which is not copied."""
    copy: M = type(message)()
    for field, value in message.ListFields():
        if field.name == left_out:
            continue
        if field.is_repeated:
            getattr(copy, field.name).extend(value)
        elif field.message_type is not None:
            getattr(copy, field.name).CopyFrom(value)
        else:
            setattr(copy, field.name, value)
    return copy


def _varint(number: int) -> bytes:
    """Return a length as protobuf writes it: seven bits a byte, the last ones first."""
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])


def load_tensors(proto: onnx.ModelProto, source: Path) -> None:
    """Put the tensors in other files, below the folder ``source``, into the model."""
    for tensor in tensors(proto):
        if tensor.external_data:
            tensor.CopyFrom(loaded(tensor, source))


def load_small_tensors(proto: onnx.ModelProto, source: Path) -> None:
    """Put those tensors into the model that may be sizes or axes, which tools want to see."""
    for tensor in tensors(proto):
        if tensor.external_data and size_of(tensor, tensor.name) < _SMALLEST:
            tensor.CopyFrom(loaded(tensor, source))


def loaded(tensor: onnx.TensorProto, source: Path) -> onnx.TensorProto:
    """Return a copy of a tensor that has its data inside; ``source`` is the folder of the model's file."""
    import onnx

    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    if copy.external_data:
        if all(entry.key != "length" for entry in copy.external_data):  # onnx would read the file to its end
            copy.external_data.add(key="length", value=str(size_of(copy, copy.name)))
        onnx.external_data_helper.load_external_data_for_tensor(copy, str(source))
        del copy.external_data[:]
        copy.data_location = copy.DEFAULT
    return copy


def _move(tensor: onnx.TensorProto, stream: IO[bytes], location: str, source: Path) -> None:
    """Append a tensor's data to ``stream``, and let it refer to that place."""
    content = loaded(tensor, source).raw_data
    offset = stream.seek(-(-stream.tell() // _PAGE) * _PAGE)
    stream.write(content)
    tensor.ClearField("raw_data")
    del tensor.external_data[:]
    tensor.data_location = tensor.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", len(content))):
        tensor.external_data.add(key=key, value=str(value))
