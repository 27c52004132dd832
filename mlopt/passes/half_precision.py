"""What the passes ``fp16`` and ``bf16`` have in common: when they do not apply, and what becomes of the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlopt.compress.quantization.graph import Survey, survey
from mlopt.data.dataset import Dataset
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import read_graph
from mlopt.passes.base import Context, PassResult, Refusal
from mlopt.passes.simplifying import advised


def objection(model: Model, context: Context) -> str | None:
    """Return why half precision does not apply, from the graph and the data alone."""
    found = survey(read_graph(model.path))
    reason = _objection(found)
    if reason is not None and not found.quantized:

        def of_simplified(simplified: Model) -> str | None:
            return _objection(survey(read_graph(simplified.path)))

        return advised(reason, model, context, of_simplified, otherwise=found.remedy)
    if reason is not None:
        return reason
    if context.calibration is None and context.samples is None:
        return "without samples nobody knows which values fit into 16 bits: name data.calibration, or pass --data"
    return None


def _objection(found: Survey) -> str | None:
    if found.quantized:
        return f"the model is quantized already: it has {', '.join(found.quantized)}"
    if found.control_flow:
        return (
            f"what happens inside {', '.join(found.control_flow)} cannot be observed, so nothing there is known to fit"
        )
    if not found.floats:
        return "nothing to convert: the graph has no float32 constants"
    return None


def run(context: Context, write: Callable[[Dataset, Path], Mapping[str, Any] | str]) -> PassResult | Refusal:
    """Let ``write`` make the model of samples; it returns facts for the report, or why nothing came of it."""
    data = context.calibration or context.samples
    if data is None:
        return Refusal("there are no samples to observe")
    done = write(data, context.out / "model.onnx")
    return Refusal(done) if isinstance(done, str) else PassResult(context.out / "model.onnx", done)
