"""INT8 and INT4 by Intel's neural-compressor, from the PyTorch model itself, written as ONNX with Q/DQ.

Cases: ``static`` is PT2E INT8 of convolutions and linear layers; ``autotune`` tries its settings until one stays within
``min_cosine`` of the model on calibration samples that it was not calibrated on; ``weight_only`` keeps the weights of
linear layers in 4 or 8 bits.

Limits: ``static`` and ``autotune`` need a model that ``torch.export`` traces, for every size of its dynamic dimensions.
neural-compressor places Q/DQ for the CPU kernels of PyTorch, so onnxruntime runs some convolutions (those before a sum)
in FP32: measure what is gained.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from mlopt.compress.quantization import torch_static, torch_weights
from mlopt.compress.quantization.observe import quiet
from mlopt.compress.quantization.scheme import Mode, Scheme, choose_integers
from mlopt.compress.quantization.torch_static import Run, Score
from mlopt.compress.quantization.torch_weights import Algorithm, WeightFormat
from mlopt.core.errors import ModelError, PassError
from mlopt.data.feeds import batches, predict
from mlopt.formats.model import ONNX, TORCH, Model
from mlopt.formats.torch.model import foreign_code, import_torch, origin
from mlopt.measure.parity import fidelity
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Refusal, Requires
from mlopt.passes.exporting.exporter_errors import cause
from mlopt.passes.exporting.tracing import Task, dynamo, open_task, write

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

    from mlopt.data.dataset import Array, Dataset

    _Outcome = tuple[ir.Model, dict[str, Any]] | Refusal

_BLOCKS_SINCE = 21
_CHUNK = 8
"""Samples in one calibrating inference, unless the model fixes its batch."""
_NOTHING = "neural-compressor quantized no weight of the model"


class NeuralCompressorConfig(PassConfig):
    """What to quantize, and how far it may stray."""

    mode: Literal["static", "autotune", "weight_only"] = Field(
        default="static", description="static INT8; static INT8 searched for; or only the weights of linear layers"
    )
    min_cosine: float = Field(
        default=0.99, gt=0, lt=1, description="autotune: least cosine to the model on held-out calibration samples"
    )
    reduce_range: bool | None = Field(default=None, description="7-bit weights; absent: where the CPU needs them")
    algorithm: Algorithm = Field(default="rtn", description="weight_only: how weights are rounded")
    bits: Literal[4, 8] = Field(default=4, description="weight_only: bits of a weight")
    block_size: Literal[16, 32, 64, 128, 256] = Field(default=32, description="weight_only: inputs that share a scale")
    symmetric: bool = Field(default=True, description="weight_only: no zero points")
    opset: int = Field(default=21, ge=18, le=23, description="version of the ONNX operators")

    @property
    def writes_form(self) -> str:
        """Its Q/DQ is for CPUs: ONNX Runtime and OpenVINO read it."""
        return "onnxruntime"

    @model_validator(mode="after")
    def _opset_fits(self) -> Self:
        if self.mode == "weight_only" and self.opset < _BLOCKS_SINCE:
            raise ValueError(f"weights in blocks need opset {_BLOCKS_SINCE} or later, not {self.opset}")
        return self


def refuse(_model: Model, config: NeuralCompressorConfig, context: Context) -> str | None:
    """Return why the pass does not apply, from the configuration and the data at hand."""
    if context.target.device != "cpu":
        return f"this INT8 is for onnxruntime's CPU kernels, and the target is {context.target.device}"
    weight_only = config.mode == "weight_only"
    if weight_only and config.algorithm == "autoround":
        return "autoround reads the config and tokenizer of a Hugging Face model, which a plain module lacks: use gptq"
    what = config.algorithm if weight_only else config.mode
    if what != "rtn" and context.calibration is None:
        return f"{what} needs calibration data: name it under data.calibration, or pass --data"
    if config.mode == "autotune" and context.calibration is not None and context.calibration.count < 2:
        return "autotune holds out half of the calibration samples, and there is only one"
    return None


def run(model: Model, config: NeuralCompressorConfig, context: Context) -> PassResult | Refusal:
    """Quantize the module, export what came out, and note what was done."""
    task = open_task(model, context)
    work = _weight_only if config.mode == "weight_only" else _static
    outcome = work(task, config, context, origin(model))
    if isinstance(outcome, Refusal):
        return outcome
    graph, notes = outcome
    path = write(graph, task, context.out / "model.onnx")
    return PassResult(path, {"mode": config.mode, **notes, "opset": graph.opset_imports[""]})


def _static(task: Task, config: NeuralCompressorConfig, context: Context, where: str) -> _Outcome:
    """Quantize weights and activations, in the default setting or in the first one that is close enough."""
    from mlopt.formats.torch.module import Flat

    data = _calibration(context)
    seven_bits = choose_integers(Scheme.U8S8, config.reduce_range, Mode.STATIC, context.hardware).reduce_range
    try:
        with _foreign("torch.export cannot trace the model", where):
            graph = torch_static.trace(task.module, task.specs, task.examples)
    except ModelError as error:
        lines = [line.strip(" -") for line in str(error.__cause__).splitlines() if line.strip()]
        return Refusal(f"torch.export cannot trace the model: {' '.join(lines[:2])[:400]}")
    rows = range(data.count) if config.mode == "static" else range(0, data.count, 2)
    notes: dict[str, Any] = {"reduce_range": seven_bits, "calibration_samples": len(rows)}
    feed = _feed(task, data, rows)
    with _foreign("neural-compressor failed", where):
        if config.mode == "static":
            done = torch_static.quantize_static(graph, feed, seven_bits=seven_bits)
        else:
            held_out = range(1, data.count, 2)
            score = _score(task, data, held_out)
            done, trials = torch_static.search(graph, feed, score, config.min_cosine, seven_bits=seven_bits)
            best = max(trial.cosine for trial in trials)
            if best < config.min_cosine:
                return Refusal(
                    f"none of {len(trials)} settings reaches a cosine of {config.min_cosine}: the best has {best:.6f}"
                )
            notes |= {"held_out_samples": len(held_out), "trials": [asdict(trial) for trial in trials]}
    notes["quantized"] = torch_static.count_weights(done)
    if not notes["quantized"]:
        return Refusal(_NOTHING)
    return _export(replace(task, module=Flat(done, len(task.specs), ())), config.opset), notes


def _weight_only(task: Task, config: NeuralCompressorConfig, context: Context, where: str) -> _Outcome:
    """Quantize the weights of linear layers."""
    if reason := torch_weights.obstacle(task.module, config.algorithm, len(task.specs)):
        return Refusal(reason)
    form = WeightFormat(config.bits, config.block_size, config.symmetric)
    notes: dict[str, Any] = {"algorithm": config.algorithm, "bits": config.bits, "block_size": config.block_size}
    feed: Run = _nothing
    if config.algorithm != "rtn":
        data = _calibration(context)
        feed, notes["calibration_samples"] = _feed(task, data, range(data.count)), data.count
    with _foreign("neural-compressor failed", where):
        left = torch_weights.quantize_weights(task.module, config.algorithm, form, task.examples[0], feed)
    notes |= {"quantized": torch_weights.count_weights(task.module), "left_alone": dict(left)}
    if not notes["quantized"]:
        return Refusal(_NOTHING)
    graph = _export(task, config.opset)
    if config.bits == 4:
        torch_weights.store_as_int4(graph)
    return graph, notes


def _calibration(context: Context) -> Dataset:
    if context.calibration is None:  # refuse() has seen to it
        raise PassError("there is no calibration data", where="pass 'neural_compressor'")
    return context.calibration


def _feed(task: Task, data: Dataset, rows: Sequence[int]) -> Run:
    """Return a function that runs a module on these samples."""

    def run_all(module: torch.nn.Module) -> None:
        for feeds, _real in batches(data, task.specs, _CHUNK, rows):
            _call(task, module, feeds)

    return run_all


def _nothing(_module: torch.nn.Module) -> None:
    """Rounding to the nearest looks at no samples."""


def _score(task: Task, data: Dataset, rows: Sequence[int]) -> Score:
    """Return a function that gives a module's mean cosine, of the worst output, to the model on these samples."""

    def outputs(module: torch.nn.Module) -> dict[str, Array]:
        return predict(lambda feeds: _call(task, module, feeds), data, task.specs, _CHUNK, rows)

    reference = outputs(task.module)
    return lambda module: fidelity(reference, outputs(module)).cosine


def _call(task: Task, module: torch.nn.Module, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run the module once; a module that is being prepared may return nothing."""
    torch = import_torch()
    with torch.no_grad():
        values = module(*(torch.from_numpy(np.array(feeds[spec.name])) for spec in task.specs))
    return {} if values is None else {name: value.numpy() for name, value in zip(task.outputs, values, strict=True)}


def _export(task: Task, opset: int) -> ir.Model:
    torch = import_torch()
    try:
        return dynamo(task, opset)
    except torch.onnx.OnnxExporterError as error:
        raise PassError(
            "PyTorch cannot export the quantized model", where="pass 'neural_compressor'", got=cause(error),
            fix="use the passes export and quantize instead",
        ) from error  # fmt: skip


@contextmanager
def _foreign(what: str, where: str) -> Iterator[None]:
    """Run a library: its prints and its warnings are not the user's, and whatever it raises is one error."""
    with quiet(), warnings.catch_warnings(), foreign_code(what, where):
        warnings.simplefilter("ignore")  # deprecations between neural-compressor, torchao and PyTorch
        yield


PASS = Pass(
    name="neural_compressor",
    version=3,
    summary="INT8 and INT4 by neural-compressor, from PyTorch to ONNX with Q/DQ",
    accepts=frozenset({TORCH}),
    produces=ONNX,
    config=NeuralCompressorConfig,
    run=run,
    requires=Requires(
        extra="quant",
        packages=("neural-compressor-pt", "torchao", "accelerate", "torch", "onnxscript", "onnx-ir"),
        device_bound=True,
    ),
    lossy=True,
    refuse=refuse,
)
