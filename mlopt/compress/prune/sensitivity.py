"""What each layer bears: one group of layers after the other is pruned alone, in a copy, and the copy is scored.

Nothing is trained between, so the scores say where pruning hurts, not what is left after a training. The score is the
share of samples named rightly where their labels are classes, else how close the first output stays. This module
imports torch: import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor

from mlopt.compress.prune.structured import Pruner, cost
from mlopt.compress.train.batch import Batch
from mlopt.compress.train.objectives import UNLABELLED
from mlopt.compress.train.objectives import hits as hits_of
from mlopt.formats.torch.module import Flat

Measure = Literal["accuracy", "closeness"]
"""Closeness is 1 less the relative error of the first output against that of the model as it is; at least 0."""


@dataclass(frozen=True)
class Point:
    """One group of layers, pruned alone."""

    layer: str
    """The first of them."""
    along: tuple[str, ...]
    """The others, which shrink with it."""
    ratio: float
    """The share of channels that was asked to go."""
    score: float
    macs: float
    """The share of the whole model's MACs that is left."""


@dataclass(frozen=True)
class Judge:
    """Scores versions of one model on the same batches."""

    batches: Sequence[Batch]
    reference: Sequence[Tensor]
    """The first output of the model as it is, batch by batch, [samples, ...]."""
    measure: Measure

    @classmethod
    def of(cls, model: Flat, batches: Sequence[Batch]) -> Self:
        """Run the model as it is; the batches have at least one sample."""
        with torch.no_grad():
            reference = [model(*batch.tensors)[0] for batch in batches]
        named = all(_names_classes(output, batch.labels) for output, batch in zip(reference, batches, strict=True))
        some = any(batch.labels is not None and (batch.labels != UNLABELLED).any() for batch in batches)
        return cls(batches, reference, "accuracy" if named and some else "closeness")

    @property
    def samples(self) -> int:
        """How many are scored."""
        return sum(map(len, self.batches))

    def score(self, model: Flat) -> float:
        """Return the accuracy or the closeness of a model, 0 to 1."""
        with torch.no_grad():
            outputs = [model(*batch.tensors)[0] for batch in self.batches]
        if self.measure == "accuracy":
            right = [hits_of(output, batch.labels) for output, batch in zip(outputs, self.batches, strict=True)]
            every = torch.cat([each for each in right if each is not None])
            return float(every.float().mean())
        wrong, whole = (
            float(sum((value.double() ** 2).sum() for value in values))
            for values in ((now - was for now, was in zip(outputs, self.reference, strict=True)), self.reference)
        )
        return 1.0 if wrong == 0 else max(0.0, 1 - (wrong / whole) ** 0.5) if whole else 0.0


def points(
    pruner: Pruner, ratios: Sequence[float], judge: Judge, said: Callable[[str, float], None]
) -> Iterator[Point]:  # fmt: skip
    """Yield each group that can be pruned at each ratio, in the order of the model.

    ``said`` is told which layer is at work, and the share of all that is done. Raises ``PassError`` where none can be
    pruned.
    """
    whole, groups = cost(pruner.model, pruner.examples).macs, pruner.groups()
    for number, (layer, every) in enumerate(groups.items()):
        for place, ratio in enumerate(sorted(ratios)):
            said(layer, (number + place / len(ratios)) / len(groups))
            copy = pruner.alone(layer, ratio)
            left = cost(copy, pruner.examples).macs / max(1, whole)
            yield Point(layer, every[1:], ratio, judge.score(copy), left)


def _names_classes(output: Tensor, labels: Tensor | None) -> bool:
    if labels is None or labels.ndim != 1 or output.ndim != 2 or labels.is_floating_point():
        return False
    return bool(((labels >= UNLABELLED) & (labels < output.shape[1])).all())
