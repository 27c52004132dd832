"""What the passes ``fp16`` and ``bf16`` have in common: when they do not apply, and what becomes of the result."""

from __future__ import annotations

from mlopt.compress.half.convert import Halving, halve
from mlopt.compress.half.convert import objection as of_graph
from mlopt.model import Model
from mlopt.onnx_file import read_graph
from mlopt.passes.base import Context, PassResult, Refusal
from mlopt.passes.mending import advised
from mlopt.quantization.graph import survey


def objection(model: Model, context: Context) -> str | None:
    """Return why half precision does not apply, from the graph and the data alone."""
    found = survey(read_graph(model.path))
    reason = of_graph(found)
    if reason is not None and not found.quantized:

        def of_simplified(simplified: Model) -> str | None:
            return of_graph(survey(read_graph(simplified.path)))

        return advised(reason, model, context, of_simplified, otherwise=found.remedy)
    if reason is not None:
        return reason
    if context.calibration is None and context.samples is None:
        return "without samples nobody knows which values fit into 16 bits: name data.calibration, or pass --data"
    return None


def run(model: Model, wanted: Halving, context: Context) -> PassResult | Refusal:
    """Write the model with every node in half precision that real samples allow."""
    data = context.calibration or context.samples
    if data is None:
        return Refusal("there are no samples to observe")
    out = context.out / "model.onnx"
    done = halve(model, wanted, data, out)
    return PassResult(out, done.notes) if done.refused is None else Refusal(done.refused)
