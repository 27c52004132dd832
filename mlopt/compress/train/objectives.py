"""What a training makes smaller: classes by cross-entropy, or what a recipe's own function returns.

An objective is a module, since one may have weights of its own that learn along. This module imports torch: import it
inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlopt.compress.train.batch import Batch
from mlopt.core.errors import DataError, PassError
from mlopt.data.dataset import Array
from mlopt.formats.torch.model import foreign_code
from mlopt.formats.torch.module import Flat

UNLABELLED = -1
"""The label of a sample that has none, where a training can do without some."""
_INTEGERS = "iub"


class TrainingObjective(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here
    """Its ``forward(model, batch)`` returns the mean loss of the samples, a scalar."""

    def judged(self, model: Flat, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the loss and, for each sample, whether the model names its class, [samples]; None without classes."""
        return self(model, batch), None


class Classification(TrainingObjective):
    """Cross-entropy of the first output, [samples, classes, ...], against labels, [samples, ...]."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, model: Flat, batch: Batch) -> Tensor:
        """Return the mean over all labels that are not ``UNLABELLED``; 0 if there is none."""
        return self.judged(model, batch)[0]

    def judged(self, model: Flat, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Of samples with one label each."""
        logits = model(*batch.tensors)[0]
        return cross_entropy(logits, batch.labels, self.label_smoothing), hits(logits, batch.labels)


class Own(TrainingObjective):
    """The loss that a recipe's ``train_step(module, batch)`` returns: a scalar, or a mapping that has it as "loss"."""

    def __init__(self, function: Callable[..., Any], where: str) -> None:
        super().__init__()
        self.function, self.where = function, where

    def forward(self, model: Flat, batch: Batch) -> Tensor:
        """Call it with the module that the recipe built; raises ``ModelError`` or ``PassError``."""
        given = {**batch.inputs, **({} if batch.labels is None else {"labels": batch.labels})}
        with foreign_code("the training step failed", self.where):
            returned = self.function(model.model, given)
        loss = returned.get("loss") if isinstance(returned, Mapping) else returned
        if not isinstance(loss, Tensor) or loss.numel() != 1 or (torch.is_grad_enabled() and not loss.requires_grad):
            raise PassError(
                "the training step returns no loss that can be learnt from", where=self.where,
                got=f"a tensor of shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__,
                expected="a scalar tensor that depends on the module's weights, or {'loss': it}",
                fix="return the mean loss of the batch, without .item() or .detach()",
            )  # fmt: skip
        return loss.reshape(())


def cross_entropy(logits: Tensor, labels: Tensor | None, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy of labelled samples; a sum of nothing, 0, if there is none."""
    if labels is None:
        raise DataError("there are no labels to learn from", where="data.train", fix=_NO_LABELS)
    wanted = labels.long()
    loss = functional.cross_entropy(
        logits.float(), wanted, label_smoothing=label_smoothing, ignore_index=UNLABELLED, reduction="sum"
    )
    return loss / (wanted != UNLABELLED).sum().clamp(min=1)


def hits(logits: Tensor, labels: Tensor | None) -> Tensor | None:
    """Return for each labelled sample whether the largest of ``logits``, [samples, classes], is its label."""
    if labels is None or labels.ndim != 1 or logits.ndim != 2:
        return None
    known = labels != UNLABELLED
    return logits[known].argmax(1) == labels[known]


def check_classes(outputs: tuple[Tensor, ...], labels: Array | None, where: str, *, some: bool = False) -> None:
    """Raise ``DataError`` unless cross-entropy can be taken of the first output and the labels; ``some`` may lack one.

    ``outputs`` are those of a batch, and ``labels`` all that there are.
    """
    logits = outputs[0]
    if labels is None:
        raise DataError("there are no labels to learn from", where=where, fix=_NO_LABELS)
    if labels.dtype.kind not in _INTEGERS or not logits.is_floating_point() or logits.ndim != labels.ndim + 1:
        raise DataError(
            "mlopt cannot tell what is to be learnt from these labels", where=where,
            got=f"labels of {labels.dtype} and shape {['samples', *labels.shape[1:]]}, and a first output of shape "
            f"{list(logits.shape)}",
            expected="numbers of classes, one for each place of the output's axes but the second",
            fix="name your own loss: `step: ./FILE.py:train_step`",
        )  # fmt: skip
    least, most = (UNLABELLED if some else 0), logits.shape[1] - 1
    beyond = (labels < least) | (labels > most)
    if beyond.any():
        first = int(beyond.reshape(len(labels), -1).any(axis=1).argmax())
        raise DataError(
            "a label is no class of the model", where=where, got=f"{labels[first]} in sample {first}",
            expected=f"{least} to {most}", fix="number the classes from 0, in the order of the model's first output",
        )  # fmt: skip


_NO_LABELS = "give data.train labels; or name your own loss, `step: ./FILE.py:train_step`; `distill` needs none"
