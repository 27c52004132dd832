"""Labels as numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.core.errors import DataError
from mlopt.data.labels import label_array


@pytest.mark.parametrize(
    ("values", "expected", "dtype"),
    [
        (["3", "-1"], [3, -1], "int64"),
        ([3, "4"], [3, 4], "int64"),
        (["0.5", "1"], [0.5, 1.0], "float32"),
        (["dog", "cat", "dog"], [1, 0, 1], "int64"),
        (["nan", "inf"], [1, 0], "int64"),
        ([True, False], [1, 0], "bool"),
        (["1.0", "2.0"], [1, 2], "float32"),
    ],
)
def test_numbers_stay_and_names_are_numbered(values: list[object], expected: list[float], dtype: str) -> None:
    array = label_array(values, "here")
    assert array.tolist() == expected
    assert array.dtype == dtype


@pytest.mark.parametrize(
    "values",
    [["cat", 1], ["cat", "1"], [None], [True, 1], [[1]], [float("nan")], [1, "nan"], [2**70], [10**400, 0.5]],
)
def test_mixtures_are_refused(values: list[object]) -> None:
    with pytest.raises(DataError):
        label_array(values, "here")


@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1))
def test_integers_survive(values: list[int]) -> None:
    assert label_array(values, "here").tolist() == values


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, None], ("a label is missing", "data.jsonl:20", "null", "leave the sample out")),
        ([1, True], ("a label is neither a number nor a name", "data.jsonl:20", "true", "write true as 1")),
        ([[0, 1], 1], ("a label is neither a number nor a name", "data.jsonl:10", "[0, 1]", "one label a sample")),
        ([1, "nan", 2], ("labels are partly numbers and partly names", "data.jsonl:20", "'nan'", "repair this label")),
        (["a", "b", "3"], ("labels are partly numbers and partly names", "data.jsonl:30", "'3'", "class numbers")),
        ([1.5, 1e39], ("a label does not fit into float32", "data.jsonl:20", "1e+39", "repair it")),
    ],
)
def test_the_line_and_what_to_do_are_told(values: list[object], said: tuple[str, str, str, str]) -> None:
    with pytest.raises(DataError) as caught:
        label_array(values, "data.jsonl", [10, 20, 30])
    (problem,) = caught.value.problems
    assert (problem.what, problem.where, problem.got) == said[:3]
    assert said[3] in str(problem.fix)
