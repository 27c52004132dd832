"""A smaller model that learns from a larger one, where labels are few or the model was pruned before.

Cases: the student is the model as the steps before left it (pruned, say), or what a function of the recipe builds; the
teacher is the recipe's own model as it came, what another function builds, or an ONNX file. Classes are learnt from
the teacher's softened ones (``kd``, ``dkd``), other outputs by direction and distance (``embedding``), and layers may
be paired. Samples without a label (-1) teach all the same.

Limits: teacher and student take the same inputs and answer in the same shapes. A program of ``torch.export`` is fixed
in the one mode that it was made in, so it cannot learn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from mlopt.compress.train.settings import Training
from mlopt.core.errors import ModelError
from mlopt.core.hardware import usable_cores
from mlopt.core.usercode import CodeReference, parse_reference
from mlopt.formats.model import TORCH, Model
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Requires, Searched
from mlopt.runtimes.base import RuntimeOptions
from mlopt.runtimes.table import deploy

if TYPE_CHECKING:
    from mlopt.compress.distill.teacher import Teacher
    from mlopt.passes.training.task import TrainingTask

SOURCE = "source"


class DistillConfig(PassConfig):
    """Who learns what from whom."""

    teacher: str = Field(
        default=SOURCE, pattern=r"source|.+\.py:[A-Za-z_]\w*|.+\.onnx",
        description="source (the recipe's model as it came), ./file.py:function that builds one, or an .onnx file",
    )  # fmt: skip
    student: str | None = Field(
        default=None, pattern=r".+\.py:[A-Za-z_]\w*",
        description="./file.py:function that builds it; absent: the model as the steps before left it",
    )  # fmt: skip
    loss: Literal["auto", "kd", "dkd", "embedding"] = Field(
        default="auto", description="kd and dkd learn classes, embedding any output; auto: kd for classes"
    )
    temperature: Annotated[float, Searched(2.0, 8.0)] = Field(
        default=4.0, gt=0, le=100, description="of kd and dkd: how soft the classes are"
    )
    alpha: Annotated[float, Searched(0.5)] = Field(
        default=0.9, ge=0, le=1, description="the teacher's share of the loss; the rest is the labels'"
    )
    beta: float = Field(default=8.0, ge=0, description="of dkd: the weight of the classes that are wrong")
    features: dict[str, str] = Field(
        default_factory=dict, description="layers of the student, each with the teacher's that it is to be like"
    )
    feature_weight: float = Field(default=1.0, gt=0, description="the weight of features in the loss")
    feature_loss: Literal["mse", "attention"] = Field(
        default="mse", description="mse (a projection learns along where widths differ), or maps of attention"
    )
    train: Training = Field(default=Training(), description="how to train")

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if self.features and self.teacher.endswith(".onnx"):
            raise ValueError("of an ONNX teacher only the outputs are known: leave out features")
        if self.train.step is not None:
            raise ValueError("the loss is that of distillation: leave out train.step")
        return self

    def without_python(self, source: str) -> str | None:
        """The file can teach: then what learns is the source."""
        if not source.endswith(".onnx"):
            return None
        student = self.student or "./file.py:build"
        which = "" if self.student else ", Python that builds the model that learns"
        teacher = f"distill: {{teacher: {source}}}{' without student' if self.student else ''}"
        return f"let the file teach: model: {{source: {student}}}{which}, and {teacher}"

    @property
    def trains(self) -> bool:
        """It does."""
        return True

    @property
    def named(self) -> Mapping[str, str]:
        """The teacher, the student, and what changes the samples."""
        named = {"teacher": self.teacher} if self.teacher != SOURCE else {}
        return named | ({"student": self.student} if self.student is not None else {}) | self.train.named


def refuse(model: Model, config: DistillConfig, _context: Context) -> str | None:
    """Return why the pass does not apply."""
    if config.student is None and not model.path.is_dir():
        return "a program of torch.export cannot be trained: name the Python that builds the model, or a `student`"
    return None


def run(model: Model, config: DistillConfig, context: Context) -> PassResult:
    """Train the student."""
    from mlopt.compress.distill.objective import Distillation, Weights
    from mlopt.compress.train.feeding import batch_of
    from mlopt.formats.torch.model import build, import_torch, load_module
    from mlopt.passes.training.task import TrainingTask, written

    torch = import_torch()
    task = TrainingTask.of(model, context, config.train)
    code = None if config.student is None else parse_reference(config.student, context.base)
    names = [spec.name for spec in model.outputs] or context.outputs
    torch.manual_seed(config.train.seed)
    student = load_module(model) if code is None else build(code, task.loader.specs, names)
    with _teacher(model, config, context, task) as teacher:
        loss = task.loss_from_teacher(config.loss, config.alpha, student)
        weights = Weights(
            loss=loss, temperature=config.temperature, alpha=config.alpha, beta=config.beta,
            features=config.feature_weight, feature_loss=config.feature_loss, pairs=config.features,
        )  # fmt: skip
        objective = Distillation(teacher, weights)
        objective.meet(student, batch_of(task.loader, task.loader.rows[:2], torch.device("cpu")))
        found = task.trained(student, objective, "distill")
    notes = {"loss": loss, "teacher": config.teacher, "trainings": [{"name": "distill", **found.notes()}]}
    return PassResult(written(model, student, context.out, code=code), notes)


@contextmanager
def _teacher(model: Model, config: DistillConfig, context: Context, task: TrainingTask) -> Iterator[Teacher]:
    """Give the teacher, open; raises ``ModelError`` where there is none."""
    from mlopt.compress.distill.teacher import Module, exported
    from mlopt.formats.onnx.file import open_onnx
    from mlopt.formats.torch.model import build, load_module

    if config.teacher.endswith(".onnx"):
        options = RuntimeOptions(threads=context.target.threads or usable_cores())
        with exported(deploy(open_onnx(context.base / config.teacher), options)) as teacher:
            yield teacher
        return
    code: CodeReference | None = None
    if config.teacher != SOURCE:
        code = parse_reference(config.teacher, context.base)
    names = [spec.name for spec in model.outputs] or context.outputs
    if code is not None:
        yield Module(build(code, task.loader.specs, names), str(code), config.train.channels_last)
        return
    if context.source is None or context.source.kind != TORCH:
        raise ModelError("the recipe's model is no PyTorch model to learn from", where="distill.teacher",
                         fix="name a teacher: ./file.py:function, or an .onnx file")  # fmt: skip
    yield Module(load_module(context.source), "the source", config.train.channels_last)


PASS = Pass(
    name="distill",
    version=1,
    summary="trains the model, or a smaller one, to answer as another does",
    accepts=frozenset({TORCH}),
    produces=TORCH,
    config=DistillConfig,
    run=run,
    refuse=refuse,
    requires=Requires(extra="torch", packages=("torch",)),
    lossy=True,
)
