"""Storing, opening and comparing data sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlopt.core.errors import DataError
from mlopt.data.dataset import Samples, check_disjoint, open_dataset, shared_samples, store


def counting(count: int, start: int = 0) -> Samples:
    values = np.arange(start, start + count, dtype=np.float32)
    return Samples({"x": values.reshape(count, 1)})


def test_what_was_stored_comes_back(tmp_path: Path) -> None:
    samples = Samples(
        {"encoder/ids:0": np.arange(6).reshape(3, 2), "mask": np.ones((3, 2), dtype=bool)}, np.array([2, 0, 1])
    )
    stored = store(samples, tmp_path / "set", "here.npz")
    opened = open_dataset(tmp_path / "set")
    assert (opened.digest, opened.count, opened.source) == (stored.digest, 3, "here.npz")
    assert list(opened.inputs) == ["encoder/ids:0", "mask"]
    for name, array in samples.inputs.items():
        np.testing.assert_array_equal(opened.inputs[name], array)
        assert opened.inputs[name].dtype == array.dtype
    assert opened.labels is not None
    np.testing.assert_array_equal(opened.labels, [2, 0, 1])
    assert not opened.inputs["mask"].flags.writeable


def test_text_inputs_and_no_labels(tmp_path: Path) -> None:
    store(Samples({"text": np.array(["a", "bcd"])}), tmp_path, "function")
    opened = open_dataset(tmp_path)
    assert opened.inputs["text"].tolist() == ["a", "bcd"]
    assert opened.labels is None


@given(
    array=hnp.arrays(
        st.sampled_from([np.float32, np.int64, np.bool_]), hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)
    ),
    label=st.integers(0, 3),
)
def test_the_digest_follows_the_content(
    array: np.ndarray, label: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    array = np.nan_to_num(array)
    folder = tmp_path_factory.mktemp("set")
    labels = np.full(len(array), label)
    first = store(Samples({"x": array}, labels), folder / "a", "one").digest
    assert store(Samples({"x": array.copy(order="F")}, labels), folder / "b", "two").digest == first
    assert store(Samples({"y": array}, labels), folder / "c", "one").digest != first
    assert store(Samples({"x": array}, labels + 1), folder / "d", "one").digest != first
    assert store(Samples({"x": array[np.newaxis]}), folder / "e", "one").digest != first


def test_samples_that_are_not_finite_are_told(tmp_path: Path) -> None:
    values = np.zeros((5, 2, 2), dtype=np.float32)
    values[3, 1, 0] = np.nan
    values[4, 0, 0] = np.inf
    stored = store(Samples({"ids": np.zeros(5, int), "image": values}), tmp_path / "set", "data.npz")
    assert open_dataset(stored.path).not_finite == (3, 4)


def test_an_input_may_be_empty_beside_others(tmp_path: Path) -> None:
    samples = Samples({"x": np.zeros((3, 2)), "past": np.zeros((3, 0, 4), np.float32)}, notes=("as it is",))
    opened = open_dataset(store(samples, tmp_path / "set", "x").path)
    assert opened.inputs["past"].shape == (3, 0, 4)
    assert (opened.notes, opened.not_finite) == (("as it is",), ())
    other = Samples({"x": np.zeros((3, 2)), "past": np.zeros((3, 0, 5), np.float32)})
    assert store(other, tmp_path / "other", "x").digest != opened.digest


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (Samples({}), "the source gives no inputs"),
        (Samples({"x": np.zeros((0, 3))}), "the array is empty"),
        (Samples({"x": np.zeros((2, 0))}), "the samples hold no values"),
        (Samples({"x": np.array(1.0)}), "input 'x' is a single number"),
        (Samples({"x": np.zeros(2), "y": np.zeros(3)}), "the arrays hold different numbers of samples"),
        (Samples({"x": np.zeros(2)}, np.zeros(3)), "the arrays hold different numbers of samples"),
        (Samples({"x": np.array([{}, []], dtype=object)}), "these are no numbers and no text"),
        (Samples({"x": np.zeros(2, dtype=complex)}), "the array holds values that mlopt cannot use"),
        (Samples({"x": np.zeros(2)}, np.array([0.0, np.nan])), "the labels hold NaN or infinity"),
    ],
)
def test_what_would_poison_a_measurement_is_refused(samples: Samples, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        store(samples, tmp_path, "data")


def test_shared_samples_are_counted_once_each(tmp_path: Path) -> None:
    a = store(counting(10), tmp_path / "a", "a.npz")
    b = store(counting(10, start=7), tmp_path / "b", "b.npz")
    assert shared_samples(a, b) == shared_samples(b, a) == 3
    with pytest.raises(DataError) as caught:
        check_disjoint(a, b)
    problem = caught.value.problems[0]
    assert problem.got == "3 shared: 10 samples of a.npz, 10 of b.npz"
    assert problem.fix is not None
    assert "split: [0.0, 0.5]" in problem.fix
    check_disjoint(a, store(counting(10, start=10), tmp_path / "c", "c.npz"))
    with pytest.raises(DataError, match="training and evaluation share samples"):
        check_disjoint(a, b, "train")


def test_samples_count_as_equal_only_in_all_inputs(tmp_path: Path) -> None:
    x = np.arange(3)
    a = store(Samples({"x": x, "y": x}), tmp_path / "a", "a")
    swapped = store(Samples({"y": x, "x": x}), tmp_path / "b", "b")
    other = store(Samples({"x": x, "y": x + 1}), tmp_path / "c", "c")
    wider = store(Samples({"x": x.astype(np.int32), "y": x}), tmp_path / "d", "d")
    assert [shared_samples(a, b) for b in (swapped, other, wider)] == [3, 0, 0]


def test_a_damaged_directory_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="this is not a stored data set"):
        open_dataset(tmp_path)
    store(counting(3), tmp_path, "x")
    (tmp_path / "input_0.npy").unlink()
    with pytest.raises(DataError, match="a file of the stored data set is missing"):
        open_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"inputs": []})[:-1])
    with pytest.raises(DataError, match="the stored data set is damaged"):
        open_dataset(tmp_path)


def test_equal_samples_with_different_labels_are_told(tmp_path: Path) -> None:
    inputs = {"x": np.float32([[1], [2], [1], [2], [2]])}
    same = store(Samples(inputs, np.array([0, 1, 0, 1, 1])), tmp_path / "same", "data")
    odd = store(Samples(inputs, np.array([[0], [1], [0], [2], [0]])), tmp_path / "odd", "data")
    assert same.notes == ()
    assert odd.notes == (
        "2 samples have another label than an equal one before: samples 1 and 3 are the first such pair",
    )
