"""Fold constants, shapes and redundant operators with onnxsim; the results stay the same.

Cases: any ONNX file that onnx itself accepts, with external data of any size. Before onnxsim sees it, nodes are sorted
(it refuses them otherwise), and inputs that have a default are dropped so that what depends on them can be folded: the
model can then no longer be called with other values. At IR version 3 these are its weights; later they may be meant,
and the step's note says which they were. onnxsim leaves the bodies of If, Loop and Scan as they are; in a graph that
has some, onnxscript first folds in them, and puts the branch in the place of an If whose condition is known: exported
TorchScript asks for the rank of a tensor at every turn.

Above 1.5 GB, the weights of matrix products and embedding tables in external data never enter it: it holds what it gets
twice. Equal ones are then not found, nor are those of query, key and value put into one.

Limits: operators of unknown domains are left alone. Dynamic dimensions stay dynamic, so what depends on them stays too.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import PassError
from mlopt.formats.model import ONNX, Model
from mlopt.formats.onnx import graph as onnx_graph
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.folding import fold
from mlopt.formats.onnx.graph import (
    changed_operators,
    interface_of,
    keep_interface,
    operators,
    strip_initializer_inputs,
)
from mlopt.formats.onnx.int8_constants import own_zero_points
from mlopt.formats.onnx.order import sort_nodes
from mlopt.formats.onnx.save import load_small_tensors, load_tensors, save_model
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Requires

if TYPE_CHECKING:
    import onnx

# It puts a Reshape, with its shape arithmetic, on either side of every batched product: a transformer gets more nodes
# (MiniLM 285 for 225), and ONNX Runtime no longer finds the patterns that it fuses (BiasGelu).
_SKIPPED = ["fuse_matmul_add_bias_into_gemm_batched"]

_MERGING = ["fuse_qkv"]
"""Puts three weights into one. Of weights that it does not see, it would leave that to every inference."""
_PASSED_ON = {"MatMul": 1, "Gemm": 1, "Gather": 0}
"""Which input of an operator may be a weight that only passes through onnxsim. It holds every tensor twice, so large
models keep these from it; none of its rules looks into them."""
_LARGE = 1 << 20
"""The elements of a weight that is worth keeping from it."""

_FIRST_WITHOUT_INPUTS = 4
"""The IR version from which on a weight need not be an input, which what is folded never is."""
_RESULT = "simplified-for-mlopt.onnx"
"""onnxsim removes a file of this name and ``.data`` from the working directory before it writes a large model."""


class SimplifyConfig(PassConfig):
    """There is nothing to set."""


def run(model: Model, _config: SimplifyConfig, context: Context) -> PassResult:
    """Simplify by path, so that no model is too large for one protobuf."""
    import onnx

    large = model.size_bytes > onnx_graph.EXTERNAL_DATA_ABOVE
    path = context.out / "model.onnx"
    with tempfile.TemporaryDirectory(dir=context.out) as folder:
        given, result = Path(folder) / "given.onnx", Path(folder) / _RESULT
        before = _give(model, given, large=large)
        if any(not value.type.tensor_type.HasField("shape") for value in before.shown.graph.output):
            onnx.shape_inference.infer_shapes_path(given, given)  # it asks for the shape of every output
        remarks = [before.remark, _simplify(model, given, result, [*_SKIPPED, *(_MERGING if before.hidden else ())])]
        simplified = read_graph(result)
        if before.hidden:
            load_tensors(simplified, result.parent)  # so that all that is outside stands in the source's folder
            _restore(before.hidden, simplified.graph)
        keep_interface(simplified, before.shown)
        own_zero_points(simplified.graph)  # it makes one of equal constants
        save_model(simplified, path, external=large, source=model.path.parent if before.hidden else result.parent)
    after = operators(simplified.graph)
    notes = {
        "nodes": [sum(before.operators.values()), sum(after.values())],
        "changed": changed_operators(before.operators, after),
        "weights_no_longer_inputs": before.stripped,
        **({"remark": remark} if (remark := "; ".join(filter(None, remarks))) else {}),
    }
    return PassResult(path, notes)


@dataclass(frozen=True)
class _Before:
    """What has to be known of a model when it was simplified: without its weights, which would be held meanwhile."""

    shown: onnx.ModelProto
    operators: dict[str, int]
    stripped: Any
    hidden: list[onnx.TensorProto]
    remark: str | None
    """Why nothing was folded in its bodies, if that failed."""


def _give(model: Model, given: Path, *, large: bool) -> _Before:
    """Write the model as onnxsim is to have it."""
    proto = read_graph(model.path)
    shown, counted = interface_of(proto), operators(proto.graph)
    stripped = strip_initializer_inputs(proto)
    proto.ir_version = max(proto.ir_version, _FIRST_WITHOUT_INPUTS)
    sort_nodes(proto.graph)
    proto, remark = _folded_inside(proto, model)
    hidden = _hide(proto.graph) if large else []
    outside = large or model.size_bytes > onnx_graph.WORKED_ON_OUTSIDE_ABOVE
    save_model(proto, given, external=outside, source=model.path.parent)
    return _Before(shown, counted, stripped, hidden, remark)


def _folded_inside(proto: onnx.ModelProto, model: Model) -> tuple[onnx.ModelProto, str | None]:
    """Fold what is in the bodies of a graph that has some; return it with why that could not be done, if so."""
    if not any(any(onnx_graph.subgraphs(node)) for node in proto.graph.node):
        return proto, None
    load_small_tensors(proto, model.path.parent)
    try:
        folded, remark = fold(proto, {}, model.path.parent)
    except ValueError as error:
        return proto, f"bodies of If, Loop and Scan were left as they are: {error}"
    return folded, remark


def _simplify(model: Model, source: Path, result: Path, skipped: Sequence[str]) -> str | None:
    """Let onnxsim write ``result``; return what it did not do, if so.

    Some of its rewrites do not see what the bodies of If and Loop read, and leave an invalid graph. Folding does.
    """
    fault = _attempt(source, result, skipped_optimizers=list(skipped))
    if fault is None:
        return None
    if _attempt(source, result, perform_optimization=False) is None:
        return f"constants and shapes were folded, but operators not rewritten: {fault}"
    raise _refused(model, fault)


def _attempt(source: Path, result: Path, **options: Any) -> str | None:
    """Return why onnxsim failed; None if it did not."""
    import onnx

    onnxsim = _import_onnxsim()
    try:
        _, valid = onnxsim.simplify(str(source), output_path=str(result), certify=False, **options)
    except (RuntimeError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        return " ".join(str(error).split())[:400]
    return None if valid else "its own check of the result failed"


def _hide(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """Make inputs of the large weights that no rule of onnxsim is about, and return them, their data not loaded."""
    from onnx import helper

    passed_on, changed = set[str](), {value.name for value in graph.output}
    for node in onnx_graph.nodes(graph):
        for index, name in enumerate(node.input):
            (passed_on if _PASSED_ON.get(node.op_type) == index else changed).add(name)
    hidden: list[onnx.TensorProto] = []
    kept: list[onnx.TensorProto] = []
    for tensor in graph.initializer:
        large = tensor.external_data and prod(tensor.dims) >= _LARGE
        (hidden if large and tensor.name in passed_on - changed else kept).append(tensor)
    graph.input.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in hidden)
    del graph.initializer[:]  # the tensors live on in the lists
    graph.initializer.extend(kept)
    return hidden


def _restore(hidden: Sequence[onnx.TensorProto], graph: onnx.GraphProto) -> None:
    """Give back the hidden weights, as far as a node still reads them."""
    names = {tensor.name for tensor in hidden}
    read = {name for node in onnx_graph.nodes(graph) for name in node.input}
    inputs = [value for value in graph.input if value.name not in names]
    del graph.input[:]
    graph.input.extend(inputs)
    graph.initializer.extend(tensor for tensor in hidden if tensor.name in read)


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


def _refused(model: Model, reason: str) -> PassError:
    return PassError(
        "onnxsim cannot simplify the model", where=str(model.path), got=reason,
        fix="leave the pass 'simplify' out, or mark it `optional: true`",
    )  # fmt: skip


PASS = Pass(
    name="simplify",
    version=6,
    summary="fold constants, shapes and redundant operators",
    accepts=frozenset({ONNX}),
    produces=ONNX,
    config=SimplifyConfig,
    run=run,
    requires=Requires(extra="cpu", packages=("onnx", "onnxsim", "onnx-ir", "onnxscript")),
    proposed=True,
)
