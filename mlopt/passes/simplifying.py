"""Whether ``simplify`` would take a refusal away: found out by doing it, so that the advice is true.

A pass that looks for constants does not see those that are only about to become some: a weight behind a Transpose, a
Cast or a Reshape, the branch of an If whose condition is known.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path

from mlopt.core.errors import MloptError
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx, read_graph
from mlopt.formats.onnx.graph import EXTERNAL_DATA_ABOVE
from mlopt.passes import simplify
from mlopt.passes.base import Context, PassResult

_HINT = "; after `simplify` it would apply: put that pass before it"


def advised(
    reason: str, model: Model, context: Context, objection: Callable[[Model], str | None], *, otherwise: str = ""
) -> str:
    """Return ``reason``, with the advice to simplify first if ``objection`` to the simplified model is none.

    If that would not help, ``otherwise`` is the advice. Large models, and those in which nothing could be folded, are
    not tried.
    """
    if model.size_bytes > EXTERNAL_DATA_ABOVE or not _foldable(model):
        return reason + otherwise
    with tempfile.TemporaryDirectory(dir=context.out) as folder:
        try:
            with redirect_stderr(io.StringIO()):  # where onnxsim prints what it gets over
                result = simplify.PASS.run(model, simplify.SimplifyConfig(), replace(context, out=Path(folder)))
            mended = isinstance(result, PassResult) and objection(open_onnx(result.path)) is None
        except (MloptError, ImportError, ValueError):
            mended = False
    return reason + (_HINT if mended else otherwise)


def _foldable(model: Model) -> bool:
    """Whether a node reads nothing but constants, and so is one itself."""
    graph = read_graph(model.path).graph
    known = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            known.update(node.output)
        elif node.input and known.issuperset(node.input):
            return True
    return False
