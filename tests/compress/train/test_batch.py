"""One batch."""

from __future__ import annotations

import torch

from mlopt.compress.train.batch import Batch


def test_it_counts_its_samples_and_keeps_the_order_of_its_inputs() -> None:
    batch = Batch({"b": torch.ones(3, 2), "a": torch.zeros(3)}, None)
    assert len(batch) == 3
    assert [tuple(each.shape) for each in batch.tensors] == [(3, 2), (3,)]
