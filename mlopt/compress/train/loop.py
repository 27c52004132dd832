"""The loop: steps in an order that follows from the seed, with a checkpoint that goes on exactly where it was killed.

It is small and plain on purpose. The trainers that are at hand (accelerate, Lightning's Trainer, ignite) do not go on
with the same numbers after an interruption within an epoch, or only with samplers of their own, and that is what a
search that may be killed at any batch needs; what PyTorch itself brings (optimizers, autocast, gradient scaling,
clipping) is used as it is. This module imports torch: import it inside functions only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from mlopt.compress.train import checkpoint
from mlopt.compress.train.batch import Batch
from mlopt.compress.train.feeding import batch_of
from mlopt.compress.train.learner import Learner
from mlopt.compress.train.objectives import TrainingObjective
from mlopt.compress.train.progress import Epoch, Trained, line
from mlopt.compress.train.settings import Training
from mlopt.core.errors import PassError
from mlopt.data.choice import Rows
from mlopt.data.loader import Loader
from mlopt.formats.torch.model import foreign_code
from mlopt.formats.torch.module import Flat

Augment = Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]]
Tell = Callable[[str, float], None]
"""Called with how far the training is, in words, and as a share of all of it."""
T = TypeVar("T")
_SAVE_EVERY, _TELL_EVERY = 20.0, 1.0
"""Seconds."""
_TIMED_STEPS = 8
"""So many steps tell how many fit into a time budget; they are taken back."""
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Hooks:
    """What takes part in a training without learning."""

    tell: Tell = lambda _text, _share: None
    augment: Augment | None = None
    """Changes the inputs of a batch that is learnt from."""
    before: Callable[[float], None] = lambda _share: None
    """Called before each step with the share of the training that is done."""
    after: Callable[[], None] = lambda: None
    """Called after each step."""
    clock: Callable[[], float] = time.monotonic


def train(
    model: Flat, objective: TrainingObjective, loader: Loader, settings: Training, *, saved: Path | None = None,
    hooks: Hooks = Hooks(),
) -> Trained:  # fmt: skip
    """Train ``model`` in place, and leave it in evaluation.

    ``saved`` is where the checkpoint is kept while it lasts: a training that finds one there goes on with it. It
    belongs to this very training; whoever names it sees to that, and removes it afterwards. Raises ``PassError`` for a
    loss that is not a number, ``OutputError`` where a checkpoint cannot be written.
    """
    with _on_device(model, objective, settings) as device:
        learner = Learner(model, objective, settings, device)
        return _Run(model, objective, loader, settings, learner=learner, hooks=hooks, saved=saved).whole()


@contextmanager
def _on_device(model: Flat, objective: TrainingObjective, settings: Training) -> Iterator[torch.device]:
    """Give the device, on as many threads as are asked for; afterwards the model is on the CPU, in evaluation.

    Its weights are laid out as asked for meanwhile, and as ever afterwards.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise PassError("there is no GPU to train on", where="train.device", got="cuda", expected="a CUDA device",
                        fix="device: auto, or a machine with one")  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads or threads)
    if settings.channels_last:
        model.model.to(memory_format=torch.channels_last)
    try:
        yield torch.device("cuda" if settings.device != "cpu" and torch.cuda.is_available() else "cpu")
    finally:
        model.model.cpu().eval().to(memory_format=torch.contiguous_format)
        objective.cpu()
        torch.set_num_threads(threads)


@dataclass
class _Standing:
    """Where a training stands, apart from tensors."""

    steps: int
    """That there will be, if it does not stop before."""
    done: int = 0
    loss: float = 0.0
    """The sum over the steps of this epoch."""
    epochs: list[Epoch] = field(default_factory=list)
    best: int | None = None
    """The number of the epoch in which the samples that are held out had the least loss."""
    seconds_in_epoch: float = 0.0

    @property
    def least(self) -> float:
        """That loss."""
        return min((e.held_out for e in self.epochs if e.held_out is not None), default=math.inf)


class _Run:
    def __init__(
        self, model: Flat, objective: TrainingObjective, loader: Loader, settings: Training, *, learner: Learner,
        hooks: Hooks, saved: Path | None,
    ) -> None:  # fmt: skip
        self.model, self.objective, self.loader, self.settings = model, objective, loader, settings
        self.learner, self.hooks, self.saved = learner, hooks, saved
        self.began = self.told_at = self.saved_at = hooks.clock()
        self.at = _Standing(settings.epochs * loader.batches)

    def whole(self) -> Trained:
        torch.manual_seed(self.settings.seed)
        per_epoch = self.loader.batches
        resumed_at = self._go_on()
        if resumed_at is None:
            self.at.steps = self._affordable()
        stopped = "epochs" if self.at.steps == self.settings.epochs * per_epoch else "time"
        while self.at.done < self.at.steps:
            self._epoch(self.at.done // per_epoch)
            if self._is_stale():
                stopped = "patience"
                break
        self.learner.take_best()
        best = self.at.best if self.learner.has_best else None
        return Trained(
            tuple(self.at.epochs), self.at.done, stopped, best, resumed_at, self.hooks.clock() - self.began
        )  # fmt: skip

    def _epoch(self, number: int) -> None:
        """Run an epoch to its end, from where the training stands."""
        per_epoch, started = self.loader.batches, self.hooks.clock() - self.at.seconds_in_epoch
        first = self.at.done - number * per_epoch
        for rows in self.loader.epoch(number)[first : first + self.at.steps - self.at.done]:
            self.at.loss += self._step(rows)
            self.at.done += 1
            self.at.seconds_in_epoch = self.hooks.clock() - started
            self._say(number)
            if self.hooks.clock() - self.saved_at >= _SAVE_EVERY and self.at.done % per_epoch:
                self._save()
        self._end_of_epoch(number)
        self._save()

    def _step(self, rows: Rows) -> float:
        """Take one step, and return the loss before it."""
        self.learner.both.train()
        self.hooks.before(self.at.done / self.at.steps)
        loss = self._lower(self.objective, self._augmented(batch_of(self.loader, rows, self.learner.device)))
        value = self._finite(float(loss.detach()))
        self.learner.step(loss, self.settings.learning_rate_at(self.at.done, self.at.steps))
        self.hooks.after()
        self.learner.average(self.at.done)
        return value

    def _finite(self, loss: float) -> float:
        if math.isfinite(loss):
            return loss
        kept = "; the last checkpoint is kept" if self.saved is not None and self.saved.exists() else ""
        raise PassError(
            "the loss is not a number any more, so the training ended", where=f"train: step {self.at.done + 1}",
            got=str(loss), expected="a finite loss",
            fix=f"a smaller learning_rate, clip_norm: 1.0, or precision: float32{kept}",
        )  # fmt: skip

    def _augmented(self, batch: Batch) -> Batch:
        """Return what is learnt from, instead of a batch as it is."""
        if self.hooks.augment is None:
            return batch
        with foreign_code("the augmentation failed", "train.augment"):
            changed = self.hooks.augment(batch.inputs)
        given, got = ({n: (list(v.shape), str(v.dtype)) for n, v in each.items()} for each in (batch.inputs, changed))
        if given != got:
            raise PassError(
                "the augmentation returns other inputs than it is given",
                where="train.augment",
                got=str(got),
                expected=str(given),
                fix="return as many samples, of the same sizes",
            )
        return Batch({name: changed[name] for name in batch.inputs}, batch.labels)

    def _lower(self, compute: Callable[[Flat, Batch], T], batch: Batch) -> T:
        """Return what is computed of a batch, in the precision that is asked for."""
        precision = _DTYPES.get(self.settings.precision)
        lower = torch.autocast(self.learner.device.type, precision, enabled=precision is not None)
        with lower, foreign_code("forward() fails in training", "train"):
            return compute(self.model, batch)

    def _end_of_epoch(self, number: int) -> None:
        steps = self.at.done - number * self.loader.batches
        held_out, score = self._judged()
        better = self.settings.patience is not None and held_out is not None and held_out < self.at.least
        self.at.epochs.append(Epoch(
            number + 1, self.at.loss / max(1, steps), held_out, score, self.learner.learning_rate,
            round(self.at.seconds_in_epoch, 3),
        ))  # fmt: skip
        self.at.loss = self.at.seconds_in_epoch = 0.0
        if better:
            self.at.best = number + 1
            self.learner.keep_best()

    def _judged(self) -> tuple[float | None, float | None]:
        """Return the mean loss of the samples that are held out, and the share of them that is named rightly."""
        batches = self.loader.held_out_batches()
        if not batches:
            return None, None
        losses, right, counted = 0.0, 0, 0
        with self.learner.evaluating():
            for rows in batches:
                batch = batch_of(self.loader, rows, self.learner.device)
                loss, hits = self._lower(self.objective.judged, batch)
                losses += self._finite(float(loss)) * len(rows)
                if hits is not None:
                    right, counted = right + int(hits.sum()), counted + len(hits)
        return losses / len(self.loader.held_out), right / counted if counted else None

    def _is_stale(self) -> bool:
        patience, best = self.settings.patience, self.at.best
        return patience is not None and best is not None and self.at.epochs[-1].number - best >= patience

    def _affordable(self) -> int:
        """Return how many of the steps fit into the time budget; what a few of them changed is taken back."""
        if self.settings.minutes is None:
            return self.at.steps
        before, rows = self.learner.snapshot(), self.loader.epoch(0)
        count = min(_TIMED_STEPS, self.at.steps, len(rows))
        started = self.hooks.clock()
        for number in range(count):
            self._step(rows[number])
        each = (self.hooks.clock() - started) / count
        self.learner.restore(before)
        return max(1, min(self.at.steps, int(60 * self.settings.minutes / max(each, 1e-6))))

    def _save(self) -> None:
        if self.saved is None:
            return
        at = {**vars(self.at), "epochs": [each.as_dict() for each in self.at.epochs]}
        checkpoint.write(self.saved, {"learner": self.learner.snapshot(), "at": at})
        self.saved_at = self.hooks.clock()

    def _go_on(self) -> int | None:
        """Go on with the checkpoint; return the step at which that was, None if there is none."""
        state = None if self.saved is None else checkpoint.read(self.saved)
        if state is None:
            return None
        self.at = _Standing(**{**state["at"], "epochs": [Epoch(**each) for each in state["at"]["epochs"]]})
        self.learner.restore(state["learner"])
        return self.at.done

    def _say(self, number: int) -> None:
        now, per_epoch = self.hooks.clock(), self.loader.batches
        if now - self.told_at < _TELL_EVERY:
            return
        self.told_at = now
        steps = self.at.done - number * per_epoch
        pace = steps / max(self.at.seconds_in_epoch, 1e-9)
        last = self.at.epochs[-1] if self.at.epochs else None
        epochs = number + 1, -(-self.at.steps // per_epoch)
        text = line(epochs, self.at.loss / max(1, steps), last, pace * self.loader.batch_size)
        self.hooks.tell(text, self.at.done / self.at.steps)
