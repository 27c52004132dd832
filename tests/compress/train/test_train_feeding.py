"""From samples on disk to a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import SPEC, clouds

from mlopt.compress.train.feeding import batch_of
from mlopt.core.errors import DataError
from mlopt.data.dataset import Samples, store
from mlopt.data.loader import loader

CPU = torch.device("cpu")


def test_it_holds_the_samples_and_their_labels(tmp_path: Path) -> None:
    loaded = clouds(tmp_path)
    rows = loaded.epoch(0)[0]
    batch = batch_of(loaded, rows, CPU)
    np.testing.assert_array_equal(batch.inputs["x"], loaded.data.inputs["x"][rows])
    assert batch.labels is not None
    assert batch.labels.tolist() == loaded.data.labels[rows].tolist()
    assert [each.shape for each in batch.tensors] == [(16, 6)]


def test_it_may_be_written_to(tmp_path: Path) -> None:
    """A training step may change its batch; the samples on disk stay as they are."""
    loaded = clouds(tmp_path)
    rows = loaded.epoch(0)[0]
    batch_of(loaded, rows, CPU).inputs["x"].zero_()
    assert batch_of(loaded, rows, CPU).inputs["x"].abs().sum() > 0


def test_text_is_told(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    data = store(Samples({"x": points}, np.array(list("abababab"))), tmp_path / "text", "made")
    loaded = loader(data, [SPEC], batch_size=2, held_out=0.25, seed=0)
    with pytest.raises(DataError, match="text cannot be trained on") as caught:
        batch_of(loaded, loaded.rows[:2], CPU)
    assert "number the classes" in str(caught.value.problems[0].fix)
