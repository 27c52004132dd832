"""Fold constants, shapes and redundant operators with onnxsim; the results stay the same.

Cases: any ONNX file that onnx itself accepts, with external data of any size. Before onnxsim sees it, nodes are sorted
(it refuses them otherwise), and inputs that only give weights a default (IR version 3) are dropped so that the weights
can be folded: the model can then no longer be called with other weights.

Limits: operators of unknown domains are left alone. Dynamic dimensions stay dynamic, so what depends on them stays too.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.errors import PassError
from mlopt.model import Kind, Model
from mlopt.onnx_file import read_graph
from mlopt.onnx_graph import changed_operators, operators, sort_nodes, strip_initializer_inputs
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Requires

if TYPE_CHECKING:
    import onnx

# It puts a Reshape, with its shape arithmetic, on either side of every batched product: a transformer gets more nodes
# (MiniLM 285 for 225), and ONNX Runtime no longer finds the patterns that it fuses (BiasGelu).
_SKIPPED = ["fuse_matmul_add_bias_into_gemm_batched"]


class SimplifyConfig(PassConfig):
    """There is nothing to set."""


def run(model: Model, _config: SimplifyConfig, context: Context) -> PassResult:
    """Simplify by path, so that no model is too large for one protobuf."""
    import onnx

    onnxsim = _import_onnxsim()
    proto = read_graph(model.path)
    before = operators(proto.graph)
    stripped, unsorted = strip_initializer_inputs(proto), sort_nodes(proto.graph)
    path = context.out / "model.onnx"
    with _prepared(model, proto if stripped or unsorted else None, context.out) as source:
        try:
            simplified, valid = onnxsim.simplify(
                str(source), output_path=str(path), skipped_optimizers=_SKIPPED, certify=False
            )
        except (RuntimeError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise _refused(model, " ".join(str(error).split())[:400]) from error
    if not valid:
        raise _refused(model, "its own check of the result failed")
    after = operators(simplified.graph)
    notes = {
        "nodes": [sum(before.values()), sum(after.values())],
        "changed": changed_operators(before, after),
        "weights_no_longer_inputs": stripped,
    }
    return PassResult(path, notes)


def _import_onnxsim() -> Any:
    """Import onnxsim, but not PyTorch with it, which takes seconds and serves features that are not used here."""
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]  # what Python takes for "not installed"
    try:
        import onnxsim
    finally:
        if hidden:
            del sys.modules["torch"]
    return onnxsim


@contextmanager
def _prepared(model: Model, proto: onnx.ModelProto | None, scratch: Path) -> Iterator[Path]:
    """Give the model's own path, or that of a temporary copy with the edited graph and its external data."""
    import onnx

    if proto is None:
        yield model.path
        return
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        for file in model.files[1:]:
            target = Path(folder) / file.relative_to(model.path.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        source = Path(folder) / "prepared.onnx"
        onnx.save(proto, source)
        yield source


def _refused(model: Model, reason: str) -> PassError:
    return PassError(
        "onnxsim cannot simplify the model", where=str(model.path), got=reason,
        fix="leave the pass 'simplify' out, or mark it `optional: true`",
    )  # fmt: skip


PASS = Pass(
    name="simplify",
    version=1,
    summary="fold constants, shapes and redundant operators",
    accepts=frozenset({Kind.ONNX}),
    produces=Kind.ONNX,
    config=SimplifyConfig,
    run=run,
    requires=Requires(packages=("onnx", "onnxsim")),
)
