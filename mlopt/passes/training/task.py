"""A training as a recipe asks for it: the loader of ``data.train``, what is learnt, and where it goes on from.

This module imports torch: import it inside functions only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mlopt.compress.train.batch import Batch
from mlopt.compress.train.feeding import batch_of
from mlopt.compress.train.loop import Hooks, train
from mlopt.compress.train.objectives import Classification, Own, TrainingObjective, check_classes
from mlopt.compress.train.progress import Trained
from mlopt.compress.train.settings import Training
from mlopt.core.errors import PassError
from mlopt.core.hardware import usable_cores
from mlopt.core.usercode import CodeReference, parse_reference
from mlopt.core.voice import tell
from mlopt.data.choice import typical
from mlopt.data.loader import Loader, loader
from mlopt.formats.model import Model
from mlopt.formats.torch.model import foreign_code, load_module, open_torch, origin, save_changed
from mlopt.formats.torch.module import Flat
from mlopt.passes.base import Context

Notes = dict[str, Any]
_FEW = 2
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class TrainingTask:
    """What trains versions of one model in a step."""

    model: Model
    context: Context
    settings: Training
    loader: Loader

    @classmethod
    def of(cls, model: Model, context: Context, settings: Training) -> TrainingTask:
        """Read the data; raises ``PassError`` or ``DataError`` where that cannot be trained on."""
        if context.train is None:
            raise PassError("there is nothing to train on", where="data.train", fix="add data.train to the recipe")
        threads = settings.threads or context.target.threads or usable_cores()
        specs = context.inputs or model.inputs
        fed = loader(
            context.train, specs, batch_size=settings.batch_size, held_out=settings.held_out, seed=settings.seed
        )
        return cls(model, context, settings.model_copy(update={"threads": threads}), fed)

    def objective(self, module: Flat) -> TrainingObjective:
        """Return what the recipe says is to be learnt: by its own function, else classes."""
        if (code := self._code(self.settings.step)) is not None:
            return Own(code.load(), str(code))
        check_classes(self.outputs(module), self.loader.data.labels, self.loader.data.source)
        return Classification(self.settings.label_smoothing)

    def loss_from_teacher(self, wanted: str, alpha: float, student: Flat) -> Any:
        """Return which loss of distillation it is to be; ``auto`` depends on labels and metric.

        Raises ``DataError`` for labels that are no classes of the student, if they take part.
        """
        labels, outputs = self.loader.data.labels, self.outputs(student)
        classes = labels is not None and labels.dtype.kind in "iub" and outputs[0].ndim == labels.ndim + 1
        of_classes = classes or self.context.budget.metric in {"accuracy", "agreement"}
        loss = ("kd" if of_classes else "embedding") if wanted == "auto" else wanted
        if loss != "embedding" and labels is not None and alpha < 1:
            check_classes(outputs, labels, self.loader.data.source, some=True)
        return loss

    def _code(self, text: str | None) -> CodeReference | None:
        return None if text is None else parse_reference(text, self.context.base)

    def judging(self, most: int) -> list[Batch]:
        """Return at most so many samples of ``data.train``, like the whole: those held out, if there are enough."""
        fed, size, shape = self.loader, self.loader.batch_size, self.loader.specs[0].shape
        least = size if shape and isinstance(shape[0], int) else 1  # in one batch of this model
        rows = fed.held_out if len(fed.held_out) >= least else fed.rows
        rows = rows[typical(len(rows), max(most, least), fed.labels(rows))]
        every = (rows[at : at + size] for at in range(0, len(rows), size))
        return [batch_of(fed, some, _CPU) for some in every if len(some) >= least]

    def outputs(self, module: Flat) -> tuple[torch.Tensor, ...]:
        """Return what a module answers to a few samples."""
        batch = batch_of(self.loader, self.loader.rows[:_FEW], _CPU)
        with torch.no_grad(), foreign_code("forward() fails on the training samples", origin(self.model)):
            found: tuple[torch.Tensor, ...] = module(*batch.tensors)
        return found

    def trained(
        self, module: Flat, objective: TrainingObjective, name: str, after: Callable[[], None] = lambda: None,
        before: Callable[[float], None] = lambda _share: None,
    ) -> Trained:  # fmt: skip
        """Train a module in place; ``name`` is that of this training among those of the step, the rest as of hooks."""
        saved = None if self.context.unfinished is None else self.context.unfinished / f"{name}.ckpt"

        def said(text: str, share: float) -> None:
            tell(f"{name}: {text}", share)

        changing = self._code(self.settings.augment)
        hooks = Hooks(said, None if changing is None else changing.load(), before, after)
        return train(module, objective, self.loader, self.settings, saved=saved, hooks=hooks)

    def gradients(
        self, objective: Callable[[Flat], TrainingObjective], batches: int
    ) -> Callable[[Flat], Iterator[None]]:
        """Return what leaves in a module's parameters the gradients of the loss of so many batches, one by one."""

        def each(module: Flat) -> Iterator[None]:
            wanted = objective(module)
            module.model.eval()
            for rows in self.loader.epoch(0)[:batches]:
                module.zero_grad(set_to_none=True)
                with torch.enable_grad():
                    wanted(module, batch_of(self.loader, rows, _CPU)).backward()
                yield

        return each

    def kept(self, name: str, make: Callable[[], tuple[Flat, Notes]]) -> tuple[Flat, Notes]:
        """Return what ``make`` made and noted, of a killed run if that came so far; raises what ``make`` raises."""
        if self.context.unfinished is None:
            return make()
        place, told = self.context.unfinished / name, self.context.unfinished / f"{name}.json"
        if place.is_dir():
            return load_module(open_torch(place)), json.loads(told.read_text(encoding="utf-8"))
        module, notes = make()
        told.parent.mkdir(parents=True, exist_ok=True)
        told.write_text(json.dumps(notes), encoding="utf-8")
        save_changed(self.model, module.model, place)
        return module, notes


def examples(model: Model, context: Context, batch_size: int) -> tuple[torch.Tensor, ...]:
    """Return real inputs of so many samples, as far as there are any."""
    from mlopt.data.feeds import batches

    if context.samples is None:
        raise PassError(
            "there are no samples to try the model on", where="data.evaluation", fix="add data.evaluation to the recipe"
        )
    feed, _ = next(batches(context.samples, context.inputs or model.inputs, batch_size))
    return tuple(torch.from_numpy(array.copy()) for array in feed.values())


def written(model: Model, module: Flat, out: Path, **more: Any) -> Path:
    """Write what a step made into its folder."""
    return save_changed(model, module.model, out / "model", **more)
