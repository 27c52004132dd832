"""FP16 weights and arithmetic, where real samples show that the values fit.

FP16 ends at 65504 and has 11 bits: what overflows becomes infinity, and the converter clamps constants without a word.
So the FP32 model runs on samples first. Nodes that touch more than ``ceiling``, or a constant that FP16 cannot hold,
stay in FP32; the others are admitted in groups, those beyond ``bound`` last, for as long as a rehearsal shows the
outputs unharmed. Inputs and outputs keep their types.

Limits: graphs with If, Loop or Scan (their bodies cannot be observed) and quantized graphs are refused.
"""

from __future__ import annotations

from functools import partial

from pydantic import Field

from mlopt.compress.half.convert import USUAL, HalfPrecision, halve
from mlopt.compress.half.graph import FP16
from mlopt.compress.quantization.scheme import Reader
from mlopt.core.target import Objective
from mlopt.formats.model import ONNX, Model
from mlopt.passes import half_precision
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Refusal, Requires


class Fp16Config(PassConfig):
    """What stays in FP32."""

    bound: float = Field(
        default=USUAL.bound, gt=0, le=FP16.largest, description="nodes beyond this magnitude are tried last"
    )
    ceiling: float = Field(
        default=USUAL.ceiling, gt=0, le=FP16.largest,
        description="nodes beyond this magnitude stay FP32; half of what FP16 holds, as other data may reach further",
    )  # fmt: skip
    min_sqnr_db: float = Field(
        default=USUAL.min_sqnr_db,
        ge=0,
        description="signal to noise that outputs keep on samples: 25 dB is an error of 6 %",
    )
    seconds: float = Field(
        default=USUAL.seconds, gt=0, description="time for the search; what is undecided then stays FP32"
    )
    placement: Reader = Field(
        default="onnxruntime", description="tensorrt: for its engines, whatever this CPU makes of FP16"
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="nodes to leave alone: names or patterns such as '/head/*'"
    )

    @property
    def foreign(self) -> bool:
        """Whether another runtime will read the result."""
        return self.placement != "onnxruntime"


def refuse(model: Model, config: Fp16Config, context: Context) -> str | None:
    """Return why the pass does not apply, from the target and the graph alone."""
    if not config.foreign and _computes_in_fp32(context):
        return (
            f"onnxruntime computes FP16 in FP32 on this CPU ({context.hardware.architecture}): half the size, no "
            f"faster; it serves objective size, device cuda or `placement: tensorrt`, not {context.objective.value}"
        )
    return half_precision.objection(model, context)


def _computes_in_fp32(context: Context) -> bool:
    """Whether speed is wanted of a CPU without FP16 kernels in onnxruntime, which only Arm has."""
    wants_speed = context.objective is not Objective.SIZE
    return wants_speed and context.target.device == "cpu" and "asimdhp" not in context.hardware.isa


def run(model: Model, config: Fp16Config, context: Context) -> PassResult | Refusal:
    """Convert what fits; refuse where nothing does, or where onnxruntime does not run the result."""
    wanted = HalfPrecision(
        FP16, bound=config.bound, ceiling=config.ceiling, min_sqnr_db=config.min_sqnr_db, seconds=config.seconds,
        exclude=config.exclude, excluded_by="passes.fp16.exclude", device=context.target.device,
        batch_size=context.target.batch_size,
    )  # fmt: skip
    return half_precision.run(context, partial(halve, model, wanted))


PASS = Pass(
    name="fp16",
    version=6,
    summary="FP16 where real samples show that the values fit",
    accepts=frozenset({ONNX}),
    produces=ONNX,
    config=Fp16Config,
    run=run,
    requires=Requires(extra="cpu", packages=("onnx", "onnxruntime"), device_bound=True),
    lossy=True,
    refuse=refuse,
)
