"""Writing an ONNX file without holding its weights: tensors in other files are copied from file to file, one at a time.

onnx's own writer wants the whole model loaded, so a large model would cost its size in memory before any work is done.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

from mlopt.formats.onnx.external_data import size_of, tensors

if TYPE_CHECKING:
    import onnx

_SMALLEST = 1024
"""Bytes from which on a weight is worth a place in the other file."""
_PAGE = 4096
"""Where each tensor starts: only whole pages can be mapped into memory."""


def save_model(proto: onnx.ModelProto, path: Path, *, external: bool, source: Path) -> None:
    """Write a model; with ``external``, its weights go to ``<name>.onnx.data`` beside it.

    What is small stays inside, where tools look for sizes and axes.
    Tensors of ``proto`` that are not loaded are read from their files below the folder ``source``. Afterwards ``proto``
    is what was written: without its weights, if they are external.
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
        load_tensors(proto, source)
    onnx.save(proto, path)


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
