"""The copy of a graph that the rewriting tools work on, and how what they make of it is saved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.formats.onnx.int8_constants import own_zero_points
from mlopt.formats.onnx.save import save_model

if TYPE_CHECKING:
    import onnx

WEIGHTED = ("Conv", "MatMul", "Gemm")
RECURRENT = "LSTM"
"""It reads two weights, and has a form in INT8 only with scales that follow its input."""


@dataclass(frozen=True)
class WorkingCopy:
    """A copy to work on: nodes named, constants among the initializers, shapes inferred."""

    path: Path
    external: bool
    """Whether its tensors, and those of models made from it, go to a file beside the graph."""
    opset: int
    raised_from: int | None
    """The model's own opset, if it was lower."""


def save(proto: onnx.ModelProto, path: Path, *, external: bool, source: Path | None = None) -> None:
    """Write a model, its weights beside it in ``<name>.onnx.data`` if ``external``.

    ``source`` is the folder of the files with those tensors that are not loaded, if there are any.
    """
    own_zero_points(proto.graph)
    save_model(proto, path, external=external, source=source or path.parent)


def first_output(node: onnx.NodeProto) -> str:
    """Return the first output that a node has: what tells it from others where names are missing.

    An LSTM of which only the last state is read has no first one.
    """
    return next(filter(None, node.output), "")
