"""Fewer bits for the kernels of a CPU: INT8, or weights alone in 4 or 8 bits.

Cases: ``static`` writes Q/DQ pairs whose scales come from calibration data: for convolutions, and what stands between
them. ``dynamic`` scales each input as it comes: for the matrix products of transformers, whose activations vary too
much for fixed scales. ``weight_only`` stores weights in blocks of 4 or 8 bits: for size. ``auto`` times the layers in
each of them, and keeps the fastest set that stays within the recipe's accuracy budget
(``mlopt.compress.quantization.search``), in the runtime that is to run the result. What ONNX Runtime alone is sure to
read, which is ``dynamic`` and ``weight_only``, is tried for no other.

A constant that several nodes read is stored once for each form in which they want it: scales along one axis or the
other, one scale, or FP32 for those that are not quantized. A weight that is no matrix has one scale, and so has one
that the loader refuses otherwise; what it still refuses stays FP32.

Limits: bodies of If, Loop and Scan are left alone, as are sparse constants, and weights must be constants in float32
(run ``simplify`` first). The scheme follows the CPU that optimizes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mlopt.compress.quantization import weight_only
from mlopt.compress.quantization.graph import Survey, survey
from mlopt.compress.quantization.quality_check import QualityCheck, hold_back, score_by
from mlopt.compress.quantization.refit import refitted
from mlopt.compress.quantization.scheme import Mode, Reader, Scheme, objection
from mlopt.compress.quantization.search import Search
from mlopt.compress.quantization.settings import Algorithm, Calibration, Settings, WeightOnly, unfit
from mlopt.compress.quantization.versions import Written
from mlopt.compress.quantization.writer import Writer
from mlopt.core.errors import PassError
from mlopt.core.hardware import usable_cores
from mlopt.core.target import Objective
from mlopt.data.dataset import Dataset
from mlopt.formats.model import ONNX, Model
from mlopt.formats.onnx.file import read_graph
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Refusal, Requires, Searched
from mlopt.passes.simplifying import advised
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.onnxruntime import deployed
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.table import runtime_named

_OF_WEIGHT_ONLY = ("bits", "block_size", "symmetric", "algorithm")


class QuantizeConfig(PassConfig):
    """How to quantize; the defaults follow the graph, the data, the CPU, and what is measured on it."""

    mode: Annotated[Mode, Searched("static", "dynamic")] = Field(
        default=Mode.AUTO, description="static needs calibration data; auto measures what is fastest"
    )
    scheme: Annotated[Scheme, Searched("u8s8", "u8u8", "s8s8", mode="static")] = Field(
        default=Scheme.AUTO, description="signs of activations and weights; auto follows the CPU"
    )
    reduce_range: Annotated[bool | None, Searched(True, mode="static")] = Field(
        default=None, description="7-bit weights; absent: only where the CPU needs them, and only the channels that do"
    )
    portable: bool = Field(
        default=False, description="weights that are right on every CPU, those without VNNI too, at the same speed"
    )
    per_channel: Annotated[bool, Searched(False, mode="static")] = Field(
        default=True, description="one scale per output channel of a weight"
    )
    calibration: Annotated[Calibration, Searched("percentile", "entropy", mode="static")] = Field(
        default=Calibration.MINMAX, description="how ranges follow from the samples"
    )
    bias_correction: Annotated[bool, Searched(False, mode="static")] = Field(
        default=True, description="static: take out the mean error of every layer"
    )
    smooth_quant: Annotated[bool, Searched(True, mode="static")] = Field(
        default=False, description="static: let NNCF smooth and quantize (transformers)"
    )
    placement: Reader = Field(
        default="onnxruntime", description="static: whose form of Q/DQ to write; onnxruntime runs either"
    )
    keep_first: Annotated[int, Searched(1, 2, mode="static")] = Field(
        default=0, ge=0, description="so many layers (Conv, MatMul, Gemm, LSTM) from the input on stay in FP32"
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="nodes to leave alone: names or patterns such as '/head/*'"
    )
    seconds: float = Field(default=240, gt=0, description="auto: the time that the search may take")
    bits: Literal[4, 8] = Field(default=8, description="weight_only: bits of a weight")
    block_size: Literal[16, 32, 64, 128, 256] = Field(default=32, description="weight_only: weights that share a scale")
    symmetric: bool = Field(default=True, description="weight_only: no zero points")
    algorithm: Algorithm = Field(default=Algorithm.RTN, description="weight_only: how weights are rounded")

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        foreign = [name for name in _OF_WEIGHT_ONLY if getattr(self, name) != type(self).model_fields[name].default]
        if foreign and self.mode not in (Mode.WEIGHT_ONLY, Mode.AUTO):
            raise ValueError(f"{foreign[0]} is a key of mode weight_only, and the mode is {self.mode}")
        if self.smooth_quant and self.mode is not Mode.STATIC:
            raise ValueError(f"smooth_quant is a key of mode static, and the mode is {self.mode}")
        if self.placement == "tensorrt" and self.mode is not Mode.STATIC:
            raise ValueError(f"TensorRT takes scales from calibration: add `mode: static`, the mode is {self.mode}")
        if self.placement == "tensorrt" and self.scheme not in (Scheme.AUTO, Scheme.S8S8):
            raise ValueError(f"TensorRT takes signed integers only: use scheme s8s8 or auto, not {self.scheme}")
        if self.portable and self.reduce_range is False:
            raise ValueError("portable takes weights that cannot overflow: leave out reduce_range: false")
        if self.portable and (self.smooth_quant or self.placement == "tensorrt"):
            other = "smooth_quant" if self.smooth_quant else "placement"
            raise ValueError(f"portable is about onnxruntime's own form, as mlopt writes it: leave out {other}")
        if self.mode is Mode.WEIGHT_ONLY and (told := unfit(self.weight_only)):
            raise ValueError(told)
        if self.placement == "tensorrt" and self.smooth_quant:
            raise ValueError("NNCF places Q/DQ for onnxruntime: leave out smooth_quant, or placement")
        return self

    @property
    def searches(self) -> bool:
        """Whether this machine is measured."""
        return self.mode is Mode.AUTO

    @property
    def writes_form(self) -> str:
        """Whose Q/DQ, or operators, it writes."""
        return self.placement

    @property
    def weight_only(self) -> WeightOnly:
        """The keys of mode weight_only."""
        return WeightOnly(self.bits, self.block_size, self.symmetric, self.algorithm)

    def settings(self, context: Context) -> Settings:
        """Return what is to be written, for the machine and the samples at hand."""
        tables = self.mode is not Mode.AUTO or context.objective is Objective.SIZE
        return Settings(
            mode=self.mode, scheme=self.scheme, reduce_range=self.reduce_range, portable=self.portable,
            per_channel=self.per_channel, calibration=self.calibration, bias_correction=self.bias_correction,
            smooth_quant=self.smooth_quant, placement=self.placement, keep_first=self.keep_first,
            exclude=self.exclude, excluded_by="passes.quantize.exclude", weight_only=self.weight_only, tables=tables,
            hardware=context.hardware, batch_size=context.target.batch_size,
        )  # fmt: skip


def refuse(model: Model, config: QuantizeConfig, context: Context) -> str | None:
    """Return why the pass does not apply, from the graph alone."""
    if context.target.device != "cpu" and config.placement == "onnxruntime":
        device = context.target.device
        return (
            f"this INT8 is for onnxruntime's CPU kernels, and the target is {device}: try fp16, or placement: tensorrt"
        )
    found = survey(read_graph(model.path))
    if found.quantized:
        return f"the model is quantized already: it has {', '.join(found.quantized)}"
    calibrated = context.calibration is not None
    if config.mode is Mode.WEIGHT_ONLY and (told := weight_only.objection(config.weight_only)):
        return told
    reason = _objection(found, config, calibrated=calibrated)
    if reason is None or (found.weighted and not found.other_floats):
        return reason

    def of_simplified(simplified: Model) -> str | None:
        return _objection(survey(read_graph(simplified.path)), config, calibrated=calibrated)

    return advised(reason, model, context, of_simplified, otherwise=found.remedy)


def _objection(found: Survey, config: QuantizeConfig, *, calibrated: bool) -> str | None:
    """Return what speaks against the mode, or against every mode that auto may choose."""
    if config.mode is not Mode.AUTO:
        return objection(config.mode, config.scheme, found.work, calibrated=calibrated, runtime=config.placement)
    objections = _modes(found, config, calibrated=calibrated)
    return None if None in objections.values() else next(iter(objections.values()))


def run(model: Model, config: QuantizeConfig, context: Context) -> PassResult | Refusal:
    """Quantize; refuse where the graph turns out not to allow it, or where it is not worth it."""
    found = survey(read_graph(model.path))
    with tempfile.TemporaryDirectory(dir=context.out) as scratch:
        if config.mode is Mode.AUTO:
            return _searched(model, found, config, context, Path(scratch))
        writer = _writer(model, found, config, context, context.calibration, Path(scratch))
        if (reason := writer.too_old) is not None:
            return Refusal(reason)
        outcome = writer.write(config.mode, writer.layers(config.mode), context.out / "model.onnx")
        mended = outcome.fault is None and writer.mend(config.mode, context.out / "model.onnx")
    return _result(writer, context.out, config.mode, outcome, {"biases_corrected": mended})


def _searched(
    model: Model, found: Survey, config: QuantizeConfig, context: Context, scratch: Path
) -> PassResult | Refusal:
    """Run the search, and move what it found to its place."""
    calibration = whole = context.calibration
    judging = calibration or context.samples
    if judging is None:
        return Refusal("without samples nobody can judge what INT8 does: name data.calibration, or pass --data")
    if context.measuring is None:
        raise PassError("mode auto measures, and here is nothing to measure with", where="pass 'quantize'")
    if calibration is not None:
        calibration, judging = hold_back(calibration, scratch)
    writer = _writer(model, found, config, context, calibration, scratch)
    if (reason := writer.too_old) is not None:
        return Refusal(reason)
    deployable, batch_size = _measured_in(model, context), context.target.batch_size
    judge = QualityCheck(deployable, judging, context.budget, batch_size=batch_size, score=score_by(context.budget))
    measuring = context.measuring(deployable, judging, batch_size, scratch)
    modes = _modes(found, config, calibrated=calibration is not None, runtime=deployable.runtime)
    able = [mode for mode, why in modes.items() if why is None]
    if not able:
        return Refusal(f"in {deployable.runtime}: {next(filter(None, modes.values()))}")
    search = Search(writer, judge, measuring, able, scratch, seconds=config.seconds, rival=context.rival)
    result = search.smallest() if context.objective is Objective.SIZE else search.fastest()
    source = "there is no calibration data: these are evaluation samples" if calibration is None else None
    remark = "; ".join(filter(None, (source, judge.remark)))
    search_log = {**result.notes, "judged_on": judging.count, "remark": remark}
    if result.version is None:
        return Refusal(result.reason or "nothing was found", {"search": search_log})
    version = result.version
    if whole is not None and version.mode is Mode.STATIC:
        (again := scratch / "again").mkdir()
        version = refitted(version, _writer(model, found, config, context, whole, again), judge, scratch / "on all")
    for file in version.files:
        file.rename(context.out / file.name)
    more: dict[str, Any] = {"search": search_log, "calibrated_on_all": version is not result.version}
    more["biases_corrected"] = version.mode is Mode.STATIC and config.bias_correction
    return _result(writer, context.out, version.mode, version.written, more, result.left)


def _measured_in(model: Model, context: Context) -> Deployable:
    """Return how the model will be run, if that can be timed layer by layer; else as it is in ONNX Runtime."""
    if context.deployable is not None and runtime_named(context.deployable.runtime).profile is not None:
        return context.deployable
    threads = context.target.threads or usable_cores()
    return deployed(model, OnnxRuntimeOptions(threads=threads, device=context.target.device))


def _modes(
    found: Survey, config: QuantizeConfig, *, calibrated: bool, runtime: str = "onnxruntime"
) -> dict[Mode, str | None]:
    """Return each mode that auto may choose, and why it cannot, if so."""
    tried = (Mode.STATIC, Mode.DYNAMIC, Mode.WEIGHT_ONLY) if runtime == "onnxruntime" else (Mode.STATIC,)
    return {mode: objection(mode, config.scheme, found.work, calibrated=calibrated) for mode in tried}


def _writer(
    model: Model, found: Survey, config: QuantizeConfig, context: Context, calibration: Dataset | None, scratch: Path
) -> Writer:
    settings = config.settings(context)
    return Writer(
        model, found, settings, scratch, calibration=calibration, samples=context.samples, store=context.store
    )  # fmt: skip


def _result(
    writer: Writer, out: Path, mode: Mode, outcome: Written, more: Mapping[str, Any], left: Mapping[str, str] = {}
) -> PassResult | Refusal:
    """Say what became of the layers; a model without a quantized one is no result."""
    done = outcome.quantized.intersection(writer.weighted)
    if not done:
        refused = next(iter(outcome.left.values()), None)
        excluded = next((told for name, told in writer.excluded(mode).items() if name in writer.weighted), None)
        fault = outcome.fault if writer.layers(mode) else None
        reason = refused or fault or excluded or "the quantizer passed them all over"
        return Refusal(f"none of {len(writer.weighted)} Conv, MatMul, Gemm and LSTM nodes could be quantized: {reason}")
    skipped = {name: "the quantizer passed it over" for name in writer.weighted if name not in done}
    integers = writer.integers(mode)
    notes: dict[str, Any] = {
        "mode": mode.value,
        "scheme": integers.scheme.value,
        "reduce_range": integers.reduce_range and not writer.pair_safe(mode),
        "pair_safe": writer.pair_safe(mode),
        "why": integers.reason + (" (only in channels where it could)" if writer.pair_safe(mode) else ""),
        "placement": writer.settings.placement,
        "per_channel": writer.per_channel if mode is Mode.STATIC else writer.settings.per_channel,
        "per_tensor": dict(outcome.per_tensor),
        "quantized": len(done),
        "quantizable": len(writer.weighted),
        "left_alone": {**skipped, **outcome.left, **left, **writer.excluded(mode)},
        "remarks": [*writer.remarks, *outcome.remarks],
    }
    if mode is Mode.WEIGHT_ONLY:
        settings = writer.settings.weight_only
        notes = {key: notes[key] for key in ("mode", "quantized", "quantizable", "left_alone", "remarks")}
        notes |= {"bits": settings.bits, "block_size": settings.block_size, "algorithm": settings.algorithm.value}
    if mode is Mode.STATIC and writer.calibration is not None:
        notes |= {"calibration": writer.settings.calibration.value, "calibration_samples": writer.calibration.count}
    return PassResult(out / "model.onnx", {**notes, **more})


PASS = Pass(
    name="quantize",
    version=10,
    summary="INT8 for CPUs, in the scheme that suits the CPU, or weights alone in 4 or 8 bits",
    accepts=frozenset({ONNX}),
    produces=ONNX,
    config=QuantizeConfig,
    run=run,
    requires=Requires(extra="cpu", packages=("onnx", "onnxruntime"), uses=("nncf",), device_bound=True),
    lossy=True,
    refuse=refuse,
    proposed=True,
)
