"""bfloat16 weights and arithmetic, for models whose values FP16 cannot hold.

bfloat16 has the range of FP32 and 8 bits, so almost nothing overflows and every value is rounded coarsely. Nodes stay
in FP32 where ONNX defines no such form at the model's opset (Conv has one from 22 on), where onnxruntime has no kernel
on the device, and where a rehearsal shows the outputs to suffer. Inputs and outputs keep their types.

Limits: onnxruntime computes no bfloat16 on a CPU. Graphs with If, Loop or Scan, quantized graphs and graphs that are
partly FP16 already are refused.
"""

from __future__ import annotations

from functools import partial

from pydantic import Field

from mlopt.compress.half.convert import HalfPrecision, halve
from mlopt.compress.half.graph import BF16, FP16
from mlopt.formats.model import ONNX, Model
from mlopt.formats.onnx.file import read_graph
from mlopt.passes import half_precision
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Refusal, Requires
from mlopt.runtimes.onnxruntime import cause, import_onnxruntime, runtime_errors
from mlopt.runtimes.onnxruntime_messages import briefly

_PRODUCT = """
<ir_version: 8, opset_import: ["": 13]>
product (bfloat16[1, 1] x) => (bfloat16[1, 1] y) { y = MatMul (x, x) }
"""


class Bf16Config(PassConfig):
    """What stays in FP32."""

    min_sqnr_db: float = Field(
        default=20.0,
        ge=0,
        description="signal to noise that outputs keep on samples: 20 dB is an error of 10 %",
    )
    seconds: float = Field(default=60.0, gt=0, description="time for the search; what is undecided then stays FP32")
    exclude: tuple[str, ...] = Field(
        default=(), description="nodes to leave alone: names or patterns such as '/head/*'"
    )


def refuse(model: Model, _config: Bf16Config, context: Context) -> str | None:
    """Return why the pass does not apply, from the target and the graph alone."""
    fault = _no_products() if context.target.device == "cpu" else None
    if fault is not None:
        return f"onnxruntime computes no bfloat16 on a CPU ({fault}); device cuda does"
    graph = read_graph(model.path).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    types = {value.type.tensor_type.elem_type for value in values} | {tensor.data_type for tensor in graph.initializer}
    if FP16.dtype in types:
        return "the model is partly FP16 already"
    return half_precision.objection(model, context)


def _no_products() -> str | None:
    """Return why onnxruntime's CPU kernels cannot multiply two matrices in bfloat16; None if they can."""
    import onnx

    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what it reports is in the exception
    product = onnx.parser.parse_model(_PRODUCT).SerializeToString()
    try:
        ort.InferenceSession(product, options, providers=["CPUExecutionProvider"])
    except runtime_errors() as error:
        return briefly(cause(error))
    return None


def run(model: Model, config: Bf16Config, context: Context) -> PassResult | Refusal:
    """Convert what the device computes and the outputs bear; refuse where that is nothing."""
    wanted = HalfPrecision(
        BF16, bound=BF16.largest, ceiling=BF16.largest, min_sqnr_db=config.min_sqnr_db, seconds=config.seconds,
        exclude=config.exclude, excluded_by="passes.bf16.exclude", device=context.target.device,
        batch_size=context.target.batch_size,
    )  # fmt: skip
    return half_precision.run(context, partial(halve, model, wanted))


PASS = Pass(
    name="bf16",
    version=5,
    summary="bfloat16 on a GPU, for values that FP16 cannot hold",
    accepts=frozenset({ONNX}),
    produces=ONNX,
    config=Bf16Config,
    run=run,
    requires=Requires(extra="gpu", packages=("onnx", "onnxruntime"), device_bound=True),
    lossy=True,
    refuse=refuse,
)
