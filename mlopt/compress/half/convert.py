"""From ranges, over rehearsals, to a model in half precision that was tried."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from mlopt.compress.half.graph import BF16, FP16, Half, beyond, float_tensors, small_weights, unsupported, write
from mlopt.compress.quantization.graph import matching, prepare
from mlopt.compress.quantization.observe import absolute_maxima, observe, one_batch, refusal
from mlopt.compress.quantization.prepared import WorkingCopy
from mlopt.compress.quantization.simulation import Admission, Stage, Verdict, admit, set_stage, simulate
from mlopt.core.errors import ModelError
from mlopt.data.dataset import Dataset
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx, read_graph
from mlopt.runtimes import onnxruntime_messages
from mlopt.runtimes.base import RuntimeOptions
from mlopt.runtimes.table import open_default


@dataclass(frozen=True)
class HalfPrecision:
    """What is asked for."""

    half: Half
    bound: float
    """Nodes that touch a greater magnitude are tried last."""
    ceiling: float
    """Nodes that touch a greater magnitude are not tried."""
    min_sqnr_db: float
    seconds: float
    exclude: Sequence[str]
    excluded_by: str
    """The recipe's key of ``exclude``, for its errors."""
    device: str
    batch_size: int


USUAL = HalfPrecision(
    FP16, bound=512.0, ceiling=FP16.largest / 2, min_sqnr_db=25.0, seconds=60.0, exclude=(), excluded_by="",
    device="cpu", batch_size=1,
)  # fmt: skip
"""FP16 as it is converted unless a recipe says otherwise."""


@dataclass(frozen=True)
class _Nodes:
    """The nodes that touch floating-point tensors, in order, and what speaks against some of them."""

    all: tuple[str, ...]
    barred: Mapping[str, str]
    """They stay in FP32, and why."""
    large: Mapping[str, str]
    """They are beyond the bound, and where."""
    for_bfloat16: frozenset[str]
    """Those beyond the ceiling that bfloat16 would hold."""

    @property
    def groups(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The nodes to admit: first those within the bound, then the others."""
        free = [name for name in self.all if name not in self.barred]
        return tuple(name for name in free if name not in self.large), tuple(
            name for name in free if name in self.large
        )


def halve(model: Model, wanted: HalfPrecision, data: Dataset, out: Path) -> dict[str, Any] | str:
    """Write the model to ``out`` with every node in half precision that real samples allow.

    Returns facts for the report, or why nothing came of it.
    """
    half = wanted.half
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        scratch = Path(folder)
        prepared = prepare(model, scratch)
        maxima = absolute_maxima(observe(prepared, data, model.inputs))
        nodes = _sorted(prepared, maxima, wanted)
        watched = frozenset(name for name, value in maxima.items() if value > wanted.bound)
        found = Admission()
        if any(nodes.groups):
            stage = set_stage(prepared, data, model.inputs, wanted.batch_size)
            found = _admitted(stage, nodes, watched, wanted)
        reasons = {**found.left, **nodes.barred}
        kept = {name: reasons[name] for name in nodes.all if name in reasons}
        if not found.admitted:
            first = next((f", such as '{name}': {reason}" for name, reason in kept.items()), "")
            hint = "".join(f"; {remark}" for remark in _remarks(nodes, half))
            return f"all {len(nodes.all)} nodes must stay in FP32{first}{hint}"
        write(prepared, found.admitted, half, out)
        small = small_weights(prepared, found.admitted) if half is FP16 else {}
    if half is FP16:  # bfloat16 was loaded on its device before it was rehearsed
        fault = refusal(out, one_batch(data, model.inputs, wanted.batch_size))
        if fault is not None:
            return f"onnxruntime does not run the FP16 model: {fault}"
    return _notes(nodes, found, kept, maxima, half) | {"samples": data.count, **small}


def _notes(
    nodes: _Nodes, found: Admission, kept: Mapping[str, str], maxima: Mapping[str, float], half: Half
) -> dict[str, Any]:
    finite = [value for value in maxima.values() if isfinite(value)]
    return {
        "converted": len(found.admitted),
        "nodes": len(nodes.all),
        "kept_fp32": dict(kept),
        "admitted_beyond_bound": len(found.admitted & nodes.large.keys()),
        "rehearsed_sqnr_db": found.verdict.sqnr_db if isfinite(found.verdict.sqnr_db) else None,
        "rehearsals": found.trials,
        "time_up": found.time_up,
        "largest_observed": max(finite, default=0.0),
        "tensors_not_finite": len(maxima) - len(finite),
        "remarks": _remarks(nodes, half),
    }


def _sorted(prepared: WorkingCopy, maxima: Mapping[str, float], wanted: HalfPrecision) -> _Nodes:
    """Tell apart what may be tried, and in which order."""
    import onnx

    proto = onnx.load(prepared.path)
    floats = float_tensors(proto.graph)
    every = tuple(n.name for n in proto.graph.node if not floats.isdisjoint((*n.input, *n.output)))
    ranged = beyond(proto.graph, maxima, wanted.ceiling, wanted.half)
    excluded = matching(proto.graph, wanted.exclude, where=wanted.excluded_by)
    barred = unsupported(proto, wanted.half) | ranged | excluded
    widest = beyond(proto.graph, maxima, BF16.largest, BF16)
    large = beyond(proto.graph, maxima, wanted.bound, wanted.half)
    if wanted.half is BF16:
        barred |= without_kernel(prepared, frozenset(every) - barred.keys(), wanted.device)
    return _Nodes(every, barred, large, frozenset(ranged.keys() - widest.keys()).intersection(every))


def without_kernel(prepared: WorkingCopy, converted: frozenset[str], device: str) -> dict[str, str]:
    """Return the nodes whose operator onnxruntime does not compute in bfloat16 on the device.

    It says so for one operator at a time. Any other fault is left to the check of the result.
    """
    graph = read_graph(prepared.path).graph
    path = prepared.path.with_name("half.onnx")
    left: dict[str, str] = {}
    while converted - left.keys():
        write(prepared, converted - left.keys(), BF16, path)
        try:
            with open_default(open_onnx(path), RuntimeOptions(threads=1, device=device)):
                return left
        except ModelError as error:
            kind = onnxruntime_messages.without_kernel(error.problems[0].what)
        found = [node.name for node in graph.node if node.op_type == kind and node.name in converted - left.keys()]
        if not found:
            return left
        left |= dict.fromkeys(found, f"onnxruntime has no bfloat16 kernel for {kind} on device {device}")
    return left


def _admitted(stage: Stage, nodes: _Nodes, watched: frozenset[str], wanted: HalfPrecision) -> Admission:
    """Find the nodes that can have half precision together."""

    def attempt(converted: frozenset[str]) -> Verdict:
        return simulate(stage, converted, watched, wanted.half, wanted.min_sqnr_db)

    return admit(nodes.groups, attempt, wanted.seconds)


def _remarks(nodes: _Nodes, half: Half) -> list[str]:
    if half is BF16 or not nodes.for_bfloat16:
        return []
    return [f"bfloat16 would hold {len(nodes.for_bfloat16)} that FP16 cannot: see the pass bf16"]
