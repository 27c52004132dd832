"""A model that learns to be rounded: quantization-aware training, from PyTorch to ONNX with Q/DQ pairs.

Cases: convolutions and linear layers, with what stands between convolutions, in the form that ONNX Runtime and OpenVINO
fuse: UINT8 activations, INT8 weights, one scale per output channel, batch norms folded. The model learns from itself as
it came, so ``data.train`` needs no labels; where there are any, they take part (``alpha``). Or ``train.step`` says what
is learnt.

Limits: ``torch.export`` must trace the model, for every size of its dynamic dimensions; what it does in training alone,
apart from dropout and batch norms, is left out. What comes is ONNX and no PyTorch program: kernels for integers round
a value in ten thousand to the other side, so a lossless ``export`` of such a program would rarely pass its own check.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from mlopt.compress.qat.settings import FakeQuantization
from mlopt.compress.quantization.scheme import Integers, Mode, Scheme, choose_integers
from mlopt.compress.train.settings import Training
from mlopt.core.errors import MissingPackage, PassError
from mlopt.core.packages import install_command
from mlopt.formats.model import ONNX, TORCH, Model
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Refusal, Requires

if TYPE_CHECKING:
    from pathlib import Path

    from mlopt.compress.qat.fake_quantized import FakeQuantized
    from mlopt.compress.train.objectives import TrainingObjective
    from mlopt.formats.torch.module import Flat
    from mlopt.passes.exporting.tracing import Task
    from mlopt.passes.training.task import TrainingTask

_HERE = "pass 'qat'"
_NOTHING = "nothing to quantize: no convolution or linear layer has a float32 parameter as its weight"


class FineTuning(Training):
    """How to train a model that is good already."""

    epochs: int = Field(default=5, ge=1, le=100_000, description="how often each sample is learnt from")
    learning_rate: float = Field(default=1e-4, gt=0, le=1e3, description="the largest step size")


class QatConfig(PassConfig):
    """What is rounded, and how the model learns to be."""

    per_channel: bool = Field(default=True, description="one scale per output channel of a weight")
    reduce_range: bool | None = Field(default=None, description="7-bit weights; absent: where the CPU needs them")
    batches: int = Field(
        default=16, ge=1, le=10_000, description="of data.train, whose extremes are the ranges to start from"
    )
    freeze: float = Field(
        default=0.5, ge=0, le=1, description="the share of the training after which ranges of activations and "
        "statistics of batch norms stay as they are",
    )  # fmt: skip
    loss: Literal["auto", "kd", "embedding"] = Field(
        default="auto", description="kd learns the classes of the model as it came, embedding any outputs; auto: kd "
        "for classes",
    )  # fmt: skip
    temperature: float = Field(default=4.0, gt=0, le=100, description="of kd: how soft the classes are")
    alpha: float = Field(
        default=0.9, ge=0, le=1, description="the share of the loss that is learnt from the model; the rest is the "
        "labels'",
    )  # fmt: skip
    opset: int = Field(default=20, ge=18, le=23, description="version of the ONNX operators")
    train: FineTuning = Field(default=FineTuning(), description="how to train")

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if self.train.precision != "float32":
            raise ValueError(f"what is rounded is computed in float32: leave out precision: {self.train.precision}")
        return self

    @property
    def writes_form(self) -> str:
        """Its Q/DQ is for CPUs, which ONNX Runtime and OpenVINO read."""
        return "onnxruntime"

    @property
    def trains(self) -> bool:
        """It does."""
        return True

    @property
    def named(self) -> Mapping[str, str]:
        """The recipe's own training step, and what changes its samples."""
        return self.train.named


def refuse(_model: Model, _config: QatConfig, context: Context) -> str | None:
    """Return why the pass does not apply."""
    if context.target.device != "cpu":
        return f"this INT8 is for the kernels of CPUs, and the target is {context.target.device}"
    return None


def run(model: Model, config: QatConfig, context: Context) -> PassResult | Refusal:
    """Trace, train, convert and export."""
    from mlopt.passes.exporting.tracing import open_task
    from mlopt.passes.training.task import TrainingTask

    with _torchao():
        training = TrainingTask.of(model, context, config.train)
        task = open_task(model, context)
        integers = choose_integers(Scheme.U8S8, config.reduce_range, Mode.STATIC, context.hardware)
        prepared = _prepared(task, config, integers)
        if not prepared.layers:
            return Refusal(_NOTHING)
        _calibrate(prepared, training, config.batches)
        notes: dict[str, Any] = {"layers": len(prepared.layers), "reduce_range": integers.reduce_range}
        notes["trainings"] = [{"name": "qat", **_trained(prepared, task, training, config, notes)}]
        return PassResult(_exported(prepared, task, config.opset, context.out / "model.onnx", notes), notes)


def _prepared(task: Task, config: QatConfig, integers: Integers) -> FakeQuantized:
    """Trace the model, and say where it rounds; raises ``PassError`` where it cannot be traced."""
    from mlopt.compress.qat.fake_quantized import FakeQuantized
    from mlopt.compress.quantization.torch_static import trace
    from mlopt.passes.exporting.exporter_errors import HERE, explain

    try:
        graph = trace(task.module.fresh(), task.specs, task.examples)
    except Exception as error:  # the model's own code runs in it, and may raise anything
        problem = explain("dynamo", error, task.module, task.specs, task.examples)
        where = _HERE if problem.where == HERE else problem.where
        raise PassError(replace(problem, what="torch.export cannot trace the model", where=where)) from error
    return FakeQuantized(graph, FakeQuantization(config.per_channel, integers.reduce_range))


def _calibrate(prepared: FakeQuantized, training: TrainingTask, batches: int) -> None:
    import torch

    from mlopt.compress.train.feeding import batch_of

    rows = training.loader.epoch(0)[:batches]
    prepared.calibrate(batch_of(training.loader, each, torch.device("cpu")).tensors for each in rows)


def _trained(
    prepared: FakeQuantized, task: Task, training: TrainingTask, config: QatConfig, notes: dict[str, Any]
) -> dict[str, Any]:
    """Train in place; return what the report says of it."""
    from mlopt.formats.torch.module import Flat

    module = Flat(prepared, len(task.specs), (), task.outputs)
    objective = _objective(module, training, config, notes)
    freezing: Callable[[float], None] = lambda share: prepared.freeze(share >= config.freeze)  # noqa: E731
    return training.trained(module, objective, "qat", before=freezing).notes()


def _objective(module: Flat, training: TrainingTask, config: QatConfig, notes: dict[str, Any]) -> TrainingObjective:
    """Return what is learnt: the recipe's own step, or what the model answers as it came."""
    import torch

    from mlopt.compress.distill.objective import Distillation, Weights
    from mlopt.compress.distill.teacher import Module
    from mlopt.compress.train.feeding import batch_of
    from mlopt.formats.torch.model import load_module

    if config.train.step is not None:
        return training.objective(module)
    loss = notes["loss"] = training.loss_from_teacher(config.loss, config.alpha, module)
    teacher = Module(load_module(training.model), "the model as it came", config.train.channels_last)
    objective = Distillation(teacher, Weights(loss=loss, temperature=config.temperature, alpha=config.alpha))
    objective.meet(module, batch_of(training.loader, training.loader.rows[:2], torch.device("cpu")))
    return objective


def _exported(prepared: FakeQuantized, task: Task, opset: int, path: Path, notes: dict[str, Any]) -> Path:
    """Convert, export and write; raises ``PassError`` for operators that ONNX lacks."""
    import torch

    from mlopt.compress.qat.biases import quantize_biases
    from mlopt.formats.torch.module import Flat
    from mlopt.passes.exporting.exporter_errors import cause
    from mlopt.passes.exporting.tracing import dynamo, write

    done = replace(task, module=Flat(prepared.converted(), len(task.specs), ()))
    try:
        graph = dynamo(done, opset)
    except torch.onnx.OnnxExporterError as error:
        raise PassError(
            "PyTorch cannot export the quantized model", where=_HERE, got=cause(error),
            fix="compute it from other operators in forward(); or leave 'qat' out, and use export and quantize",
        ) from error  # fmt: skip
    notes |= {"biases": quantize_biases(graph), "opset": graph.opset_imports[""]}
    return write(graph, task, path)


@contextmanager
def _torchao() -> Iterator[None]:
    """Raise ``MissingPackage`` without it; what it says of its own deprecations is nothing for users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import torchao  # noqa: F401
        except ImportError as error:
            fix = install_command("qat")
            raise MissingPackage("torchao is not installed", where=_HERE, got=str(error), fix=fix) from error
        yield


PASS = Pass(
    name="qat",
    version=1,
    summary="quantization-aware training: PyTorch to INT8 in ONNX, which learns to be rounded",
    accepts=frozenset({TORCH}),
    produces=ONNX,
    config=QatConfig,
    run=run,
    refuse=refuse,
    requires=Requires(extra="qat", packages=("torch", "torchao", "onnxscript", "onnx-ir"), device_bound=True),
    lossy=True,
)
