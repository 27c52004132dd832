"""What a student makes smaller: how far it is from its teacher, from the labels, and from what the teacher computes.

This module imports torch: import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from mlopt.compress.distill import losses
from mlopt.compress.distill.features import Kind, Projectors, watched
from mlopt.compress.distill.teacher import Lesson, Teacher
from mlopt.compress.train.batch import Batch
from mlopt.compress.train.objectives import UNLABELLED, TrainingObjective, cross_entropy, hits
from mlopt.core.errors import DataError, ModelError
from mlopt.formats.torch.module import Flat

Loss = Literal["kd", "dkd", "embedding"]


@dataclass(frozen=True)
class Weights:
    """How the parts of the loss are weighed: alpha · teacher + (1 - alpha) · labels + features · layers."""

    loss: Loss = "kd"
    temperature: float = 4.0
    alpha: float = 0.9
    beta: float = 8.0
    """Of dkd: the weight of the classes that are wrong."""
    features: float = 1.0
    feature_loss: Kind = "mse"
    pairs: Mapping[str, str] = field(default_factory=dict)
    """Layers of the student, each with that of the teacher."""


class Distillation(TrainingObjective):
    """Learns from the first output of a teacher (all of them, for embeddings); from labels too, as far as there are."""

    def __init__(self, teacher: Teacher, weights: Weights) -> None:
        super().__init__()
        self.weights = weights
        self._teacher = (teacher,)  # in a tuple, so that its weights are none of this module's
        self.projectors: Projectors | None = None

    def meet(self, model: Flat, batch: Batch) -> tuple[Tensor, ...]:
        """Look at a batch once, before the training, and return the student's outputs.

        Raises ``ModelError`` or ``DataError`` for a teacher that does not go with the student or the labels.
        """
        pairs = self.weights.pairs
        with torch.no_grad(), watched(model.model, list(pairs), "the student") as ours:
            outputs: tuple[Tensor, ...] = model(*batch.tensors)
        lesson = self._lesson(batch)
        _check(outputs, lesson, self.weights.loss)
        if self.weights.loss == "dkd" and (batch.labels is None or outputs[0].ndim != 2):
            raise DataError("dkd takes the right class apart, so it needs a label for each sample", where="data.train",
                            fix="loss: kd, or give data.train labels")  # fmt: skip
        if pairs:
            self.projectors = Projectors(pairs, ours, lesson.features)
        return outputs

    def forward(self, model: Flat, batch: Batch) -> Tensor:
        """Return the loss."""
        return self._learnt(model, batch)[0]

    def judged(self, model: Flat, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Against the labels, or, where there are none, against the teacher's classes."""
        loss, outputs, lesson = self._learnt(model, batch)
        if self.weights.loss == "embedding" or outputs[0].ndim != 2:
            return loss, None
        if batch.labels is None:
            return loss, outputs[0].argmax(1) == lesson.outputs[0].argmax(1)
        return loss, hits(outputs[0], batch.labels)

    def _learnt(self, model: Flat, batch: Batch) -> tuple[Tensor, tuple[Tensor, ...], Lesson]:
        """Return the loss, and what student and teacher answer."""
        weights, lesson = self.weights, self._lesson(batch)
        with watched(model.model, list(weights.pairs), "the student") as ours:
            outputs = model(*batch.tensors)
        total = weights.alpha * self._distance(outputs, lesson, batch)
        if weights.alpha < 1 and batch.labels is not None and weights.loss != "embedding":
            total = total + (1 - weights.alpha) * cross_entropy(outputs[0], batch.labels)
        if self.projectors is not None:
            total = total + weights.features * self.projectors.loss(ours, lesson.features, weights.feature_loss)
        return total, outputs, lesson

    def _distance(self, outputs: tuple[Tensor, ...], lesson: Lesson, batch: Batch) -> Tensor:
        weights = self.weights
        if weights.loss == "embedding":
            return torch.stack([losses.embedding(*pair) for pair in zip(outputs, lesson.outputs, strict=True)]).mean()
        ours, theirs = outputs[0], lesson.outputs[0]
        if weights.loss == "kd" or batch.labels is None:
            return losses.kd(ours, theirs, weights.temperature)
        known = batch.labels != UNLABELLED
        if not known.any():
            return losses.kd(ours, theirs, weights.temperature)
        return losses.dkd(ours[known], theirs[known], batch.labels[known], weights.temperature, weights.beta)

    def _lesson(self, batch: Batch) -> Lesson:
        return self._teacher[0].lesson(batch, list(self.weights.pairs.values()))


def _check(outputs: tuple[Tensor, ...], lesson: Lesson, loss: Loss) -> None:
    """Raise ``ModelError`` unless teacher and student answer in the same shapes, as far as they are compared."""
    count = len(outputs) if loss == "embedding" else 1
    ours, theirs = ([list(value.shape) for value in each[:count]] for each in (outputs, lesson.outputs))
    if ours != theirs:
        raise ModelError(
            "teacher and student answer in different shapes", where="distill.teacher",
            got=f"{theirs} of the teacher, and {ours} of the student", expected="the same",
            fix="give the student the teacher's outputs: as many classes, or as wide an embedding",
        )  # fmt: skip
