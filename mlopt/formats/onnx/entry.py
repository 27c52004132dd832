"""ONNX files as a format: the one with a graph view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.formats.base import Allowed, Format, check_same, copy_files
from mlopt.formats.model import ONNX, Model
from mlopt.formats.onnx.file import check_ranks, check_tensors, open_onnx, read_graph
from mlopt.formats.onnx.graph import EXTERNAL_DATA_ABOVE
from mlopt.formats.onnx.save import save_model

if TYPE_CHECKING:
    import onnx

_MAIN = "model.onnx"


def _copy(model: Model, folder: Path, allowed: Allowed) -> Model:
    """Copy the file; external data keeps names that an artifact can hold, since the graph has them.

    Data under any other name go into the graph's own file or, if that would be too large, into ``model.onnx.data``.
    """
    names = [file.relative_to(model.path.parent).as_posix() for file in model.files[1:]]
    if all(map(allowed, names)):
        copy = open_onnx(copy_files(model, folder, _MAIN))
        check_same(model, copy.digest)
        return copy
    large = model.size_bytes > EXTERNAL_DATA_ABOVE
    save_model(read_graph(model.path), folder / _MAIN, external=large, source=model.path.parent)
    check_same(model, open_onnx(model.path).digest)
    return open_onnx(folder / _MAIN)


def _check(model: Model) -> None:
    check_tensors(model)
    check_ranks(model)


def _graph(model: Model) -> onnx.ModelProto:
    return read_graph(model.path)


FORMAT = Format(
    name=ONNX,
    label="an ONNX",
    suffixes=(".onnx",),
    main_file=_MAIN,
    open=open_onnx,
    copy=_copy,
    beside=("*",),
    check=_check,
    graph=_graph,
)
