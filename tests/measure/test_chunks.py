"""Outputs of two models in pieces: every sample once, and what cannot be laid side by side."""

from __future__ import annotations

import numpy as np
import pytest

from mlopt.core.errors import MeasureError
from mlopt.data.ragged import ragged
from mlopt.measure import chunks
from mlopt.measure.chunks import as_numbers, check_names, is_floating


@pytest.mark.parametrize("most", [1, 7, 12, 1000])
def test_each_sample_comes_once_in_order_with_its_number(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_CHUNK_VALUES", most)
    array = np.arange(40).reshape(10, 4)
    pieces = list(chunks.chunks("y", array, -array))
    assert np.array_equal(np.concatenate([one for _, one, _ in pieces]), array)
    assert np.array_equal(np.concatenate([other for _, _, other in pieces]), -array)
    assert [start for start, _, _ in pieces] == list(range(0, 10, len(pieces[0][1])))


def test_ragged_samples_come_one_by_one() -> None:
    array = ragged([np.zeros((2, 3)), np.ones((5, 3))])
    assert [(start, one.shape) for start, one, _ in chunks.chunks("y", array, array)] == [
        (0, (1, 2, 3)),
        (1, (1, 5, 3)),
    ]
    with pytest.raises(MeasureError, match="shapes differ") as caught:
        list(chunks.chunks("y", array, ragged([np.zeros((2, 3)), np.ones((4, 3))])))
    assert caught.value.problems[0].where == "output 'y', sample 1"


def test_what_cannot_be_laid_side_by_side_is_told() -> None:
    with pytest.raises(MeasureError, match="shapes differ"):
        list(chunks.chunks("y", np.zeros((2, 3)), np.zeros((2, 4))))
    with pytest.raises(MeasureError, match="no samples to compare"):
        list(chunks.chunks("y", np.zeros((0, 3)), np.zeros((0, 3))))
    for expected, got in (({}, {}), ({"y": np.zeros(1)}, {"z": np.zeros(1)})):
        with pytest.raises(MeasureError, match="different outputs"):
            check_names(expected, got)


def test_nan_and_infinity_count_where_only_one_has_them() -> None:
    both = np.array([[np.nan, np.inf, 1.0]])
    a, b = as_numbers("y", 0, both, both.copy())
    assert (a.tolist(), b.tolist()) == ([[0.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]])
    with pytest.raises(MeasureError, match="only one of the two") as caught:
        as_numbers("y", 4, both, np.array([[0.0, np.inf, 1.0]]))
    assert caught.value.problems[0].where == "output 'y', sample 4"


def test_text_and_whole_numbers_are_no_floating_point() -> None:
    assert not any(map(is_floating, (np.zeros(1, np.int8), np.zeros(1, bool), np.array(["a"]))))
    assert all(map(is_floating, (np.zeros(1), np.zeros(1, np.float16))))
