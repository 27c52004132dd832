"""Labels as numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.data.labels import label_array
from mlopt.errors import DataError


@pytest.mark.parametrize(
    ("values", "expected", "dtype"),
    [
        (["3", "-1"], [3, -1], "int64"),
        ([3, "4"], [3, 4], "int64"),
        (["0.5", "1"], [0.5, 1.0], "float32"),
        (["dog", "cat", "dog"], [1, 0, 1], "int64"),
        (["nan", "inf"], [1, 0], "int64"),
    ],
)
def test_numbers_stay_and_names_are_numbered(values: list[object], expected: list[float], dtype: str) -> None:
    array = label_array(values, "here")
    assert array.tolist() == expected
    assert array.dtype == dtype


@pytest.mark.parametrize("values", [["cat", 1], ["cat", "1"], [None], [True], [[1]], [2**70], [10**400, 0.5]])
def test_mixtures_are_refused(values: list[object]) -> None:
    with pytest.raises(DataError):
        label_array(values, "here")


@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1))
def test_integers_survive(values: list[int]) -> None:
    assert label_array(values, "here").tolist() == values
