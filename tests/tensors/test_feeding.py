"""The same samples, as each of two models takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench_models import dense

from mlopt.core.errors import MeasureError
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.tensors.feeding import common_batch, fed_alike


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return store(Samples({"x": np.arange(24, dtype=np.float32).reshape(6, 4)}), tmp_path / "data", "made here")


def net(folder: Path, batch: int | str = "batch", width: int = 4) -> Model:
    return open_onnx(dense(folder / f"{batch}-{width}.onnx", width=width, batch=batch))


def test_one_sample_at_a_time_where_both_are_free_else_as_one_of_them_wants(tmp_path: Path, data: Dataset) -> None:
    free, three = net(tmp_path), net(tmp_path, 3)
    assert [common_batch(*pair, data) for pair in ((free, free), (free, three), (three, free))] == [1, 3, 3]


def test_two_fixed_sizes_do_not_go_together(tmp_path: Path, data: Dataset) -> None:
    with pytest.raises(MeasureError, match="different numbers of samples in one inference"):
        common_batch(net(tmp_path, 2), net(tmp_path, 3), data)


def test_both_are_given_the_same_samples_in_order(tmp_path: Path, data: Dataset) -> None:
    model = net(tmp_path, 3)
    found = list(fed_alike(model, model, data, 3, [0, 2, 4, 5]))
    assert [one["x"][:, 0].tolist() for one, _ in found] == [[0, 8, 16], [20, 20, 20]]
    assert all(np.array_equal(one["x"], other["x"]) for one, other in found)
