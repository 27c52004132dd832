"""``model.train`` of a recipe: the module that its Python builds, trained from the start by mlopt's own loop.

This module imports torch only where it trains, in a worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlopt.compress.train.settings import Training
from mlopt.core.errors import MloptError, ModelError
from mlopt.core.usercode import CodeReference
from mlopt.formats.model import TORCH, TensorSpec
from mlopt.formats.torch.model import load_module, open_torch, save_changed
from mlopt.formats.torch.source import Made, make
from mlopt.formats.torch.witness import Feed, observe
from mlopt.passes.base import Context

KEY = "model.train"


def make_trained(
    code: CodeReference, inputs: tuple[TensorSpec, ...], outputs: tuple[str, ...], out: Path,
    feeds: Sequence[Feed], *, unfinished: Path, settings: Training, context: Context,
) -> tuple[Made, Mapping[str, Any]]:  # fmt: skip
    """Build the module, train it on ``context.train``, write it into ``out``; return the notes of the training, too.

    A training that was killed goes on from what is in ``unfinished``. The module is observed on ``feeds``, for
    ``check_rebuilt`` in another process. Raises ``MloptError``.
    """
    from mlopt.passes.training.task import TrainingTask

    (out / "built").mkdir()
    built = make(code, None, inputs, outputs, out / "built").model
    if built.kind != TORCH:
        raise ModelError(
            "mlopt trains PyTorch modules, and this is an .onnx file", where=KEY, got=f"what {code} returns",
            expected="torch.nn.Module", fix="remove train, or return the module itself",
        )  # fmt: skip
    module = load_module(built)
    with _of_the_recipe():
        task = TrainingTask.of(built, replace(context, unfinished=unfinished), settings)
        found = task.trained(module, task.objective(module), "train")
    saved = open_torch(save_changed(built, module.model, out / "model", trained_by=KEY))
    made = Made(saved, observe(module, inputs, feeds, code))
    return made, {"trainings": [{"name": KEY, **found.notes()}]}


@contextmanager
def _of_the_recipe() -> Iterator[None]:
    """Let problems with a key of the training name it as the recipe does."""
    try:
        yield
    except MloptError as error:
        named = (replace(each, where=_key(each.where)) for each in error.problems)
        raise type(error).of(named) from error


def _key(where: str | None) -> str | None:
    return f"model.{where}" if where is not None and where.partition(":")[0].partition(".")[0] == "train" else where
