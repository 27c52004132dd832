"""The order in which a training meets its samples: the same again, each once, and none that is held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.core.errors import DataError
from mlopt.data.dataset import Dataset, Samples, store
from mlopt.data.loader import Loader, loader
from mlopt.formats.model import TensorSpec

SPEC = TensorSpec("x", "float32", ("batch", 2))


def samples(folder: Path, count: int, classes: int = 3) -> Dataset:
    values = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    return store(Samples({"x": values}, np.arange(count) % classes), folder, "made")


def loaded(folder: Path, count: int = 20, batch_size: int = 4, held_out: float = 0.25, seed: int = 0) -> Loader:
    return loader(samples(folder, count), [SPEC], batch_size=batch_size, held_out=held_out, seed=seed)


@given(st.integers(4, 60), st.integers(1, 9), st.floats(0, 0.5), st.integers(0, 99))
def test_each_sample_is_met_once_in_an_epoch_and_none_that_is_held_out(
    tmp_path_factory: pytest.TempPathFactory, count: int, batch_size: int, held_out: float, seed: int
) -> None:
    found = loaded(tmp_path_factory.mktemp("data"), count, batch_size, held_out, seed)
    met = np.concatenate(found.epoch(3))
    assert len(set(met)) == len(met)
    assert set(met) <= set(found.rows)
    assert not set(found.rows) & set(found.held_out)
    assert len(found.rows) + len(found.held_out) == count
    assert len(found.epoch(0)) == found.batches
    sizes = {len(rows) for rows in found.epoch(0)}
    assert sizes == {batch_size} or (len(found.rows) < batch_size and sizes == {len(found.rows)})


def test_the_order_follows_from_seed_and_epoch_alone(tmp_path: Path) -> None:
    one, again, other = (loaded(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    np.random.seed(5)
    assert [rows.tolist() for rows in one.epoch(2)] == [rows.tolist() for rows in again.epoch(2)]
    assert [rows.tolist() for rows in one.epoch(2)] != [rows.tolist() for rows in one.epoch(1)]
    assert [rows.tolist() for rows in one.epoch(2)] != [rows.tolist() for rows in other.epoch(2)]


def test_each_class_has_its_share_of_what_is_held_out(tmp_path: Path) -> None:
    found = loaded(tmp_path, count=40, held_out=0.3)
    assert np.bincount(np.asarray(found.labels(found.held_out))).tolist() == [4, 4, 4]


def test_equal_samples_are_on_one_side(tmp_path: Path) -> None:
    values = np.repeat(np.arange(6, dtype=np.float32), 4).reshape(24, 1).repeat(2, axis=1)
    data = store(Samples({"x": values}), tmp_path, "made")
    found = loader(data, [SPEC], batch_size=2, held_out=0.4, seed=0)
    assert not {float(values[row, 0]) for row in found.rows} & {float(values[row, 0]) for row in found.held_out}


def test_a_feed_holds_the_samples_in_order(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    rows = found.epoch(0)[0]
    np.testing.assert_array_equal(found.feed(rows)["x"], found.data.inputs["x"][rows])
    np.testing.assert_array_equal(found.labels(rows), rows % 3)


def test_a_model_of_fixed_batch_gets_batches_of_that_size(tmp_path: Path) -> None:
    fixed = TensorSpec("x", "float32", (3, 2))
    found = loader(samples(tmp_path, 20), [fixed], batch_size=8, held_out=0.1, seed=0)
    assert {len(rows) for rows in found.epoch(0)} == {3}


@pytest.mark.parametrize(
    ("count", "batch", "said"), [(1, "batch", "too few samples"), (4, 8, "fewer samples than the model's fixed batch")]
)
def test_too_few_are_an_error(tmp_path: Path, count: int, batch: int | str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        loader(samples(tmp_path, count), [TensorSpec("x", "float32", (batch, 2))], batch_size=2, held_out=0.1, seed=0)
