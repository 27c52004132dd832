"""What a training loop is fed: which samples it learns from, in which order, and the feeds that they make.

All of it follows from the samples, a seed and the number of the epoch; no global generator is drawn from. So a training
that goes on after an interruption meets the batches that it would have met.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlopt.core.errors import DataError
from mlopt.data import choice
from mlopt.data.choice import Rows
from mlopt.data.dataset import Array, Dataset
from mlopt.data.feeds import batch_of, batches
from mlopt.formats.model import TensorSpec

_LEAST = 2
"""Samples that a training needs."""


@dataclass(frozen=True)
class Loader:
    """The samples of one data set in batches of ``batch_size``, as a model with these inputs takes them."""

    data: Dataset
    specs: tuple[TensorSpec, ...]
    rows: Rows
    """The samples that are learnt from."""
    held_out: Rows
    """Those that tell how well it learns; none of them is among ``rows``, nor is an equal one."""
    batch_size: int
    seed: int

    @property
    def batches(self) -> int:
        """How many there are in an epoch: a last one that is not whole is left out, since its loss would weigh more."""
        return max(1, len(self.rows) // self.batch_size)

    def epoch(self, number: int) -> list[Rows]:
        """Return the rows of each batch of an epoch, in an order of its own."""
        order = np.random.default_rng([self.seed, number]).permutation(self.rows)
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)][
            : self.batches
        ]

    def held_out_batches(self) -> list[Rows]:
        """Return the rows that are held out, in batches."""
        return [self.held_out[at : at + self.batch_size] for at in range(0, len(self.held_out), self.batch_size)]

    def feed(self, rows: Rows) -> dict[str, Array]:
        """Return the inputs of some samples by name, each [samples, ...], or a whole input if it has no batch axis."""
        ((feed, _),) = batches(self.data, self.specs, len(rows), rows.tolist())
        return feed

    def labels(self, rows: Rows) -> Array | None:
        """Return their labels, [samples, ...]."""
        return None if self.data.labels is None else np.asarray(self.data.labels[rows])


def loader(data: Dataset, specs: Sequence[TensorSpec], *, batch_size: int, held_out: float, seed: int) -> Loader:
    """Return the loader of a data set of which a share is held out, 0 to 1: each class in its share, if there are any.

    A model whose batch is fixed gets batches of that size. Raises ``DataError`` for samples that cannot be joined, or
    are too few.
    """
    size = batch_of(data, specs, batch_size)
    if size > 1 and not data.one_size:
        raise DataError(
            "the training samples differ in size, so they cannot be joined to batches", where=data.source,
            fix="pad or crop them to one size, or train with `batch_size: 1`",
        )  # fmt: skip
    if data.count < _LEAST:
        raise DataError("there are too few samples to train on", where=data.source, got=str(data.count),
                        expected=f"at least {_LEAST}", fix="give data.train more samples")  # fmt: skip
    kept, rest = (
        choice.part(data.count, edges, None, data.labels, data.sample_digests)
        for edges in ((0.0, held_out), (held_out, 1.0))
    )
    fixed = len(rest) < size and isinstance(specs[0].shape[0] if specs[0].shape else None, int)
    if fixed:
        raise DataError("there are fewer samples than the model's fixed batch", where=data.source, got=str(len(rest)),
                        expected=f"at least {size}", fix="give data.train more samples")  # fmt: skip
    return Loader(data, tuple(specs), rest, kept, size, seed)
