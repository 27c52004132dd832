"""Which models' requests are joined, and that each gets its own rows back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.core.errors import ModelError
from mlopt.formats.model import TensorSpec
from mlopt.serve.joining import Joining, joining_of, parted


def spec(name: str, *shape: int | str, value: int | None = None) -> TensorSpec:
    return TensorSpec(name, "float32", shape, value)


def test_one_free_first_axis_of_all_inputs_and_outputs() -> None:
    assert joining_of([spec("a", "n", 2), spec("b", "n")], [spec("y", "n", 5)]) == Joining(("a", "b"))
    assert joining_of([spec("a", "n", 2), spec("r", value=3)], [spec("y", "n")]) == Joining(("a",))


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ([spec("a", 1, 2)], [spec("y", 1)], "its first axis is fixed"),
        ([spec("a", "n", 2)], [spec("y", "m")], "no first axis in common"),
        ([spec("a", "n", 2), spec("b", "m")], [spec("y", "n")], "no first axis in common"),
        ([spec("a")], [spec("y")], "it has no first axis"),
        ([spec("a", "n", "n")], [spec("y", "n")], "is another one as well"),
        ([spec("r", value=3)], [spec("y", "n")], "no first axis in common"),
        ([spec("a", "n")], [], "no first axis in common"),
    ],
)
def test_all_others_are_not_joined_for_a_reason(
    inputs: list[TensorSpec], outputs: list[TensorSpec], reason: str
) -> None:
    found = joining_of(inputs, outputs)
    assert isinstance(found, str)
    assert reason in found


def test_only_requests_that_agree_in_all_other_sizes_have_one_key() -> None:
    joining = Joining(("ids",))
    keys = [joining.key({"ids": np.zeros(shape)}) for shape in ((1, 8), (5, 8), (1, 9))]
    assert keys[0] == keys[1] != keys[2]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_joined_and_parted_each_request_has_its_own_rows(rows: list[int]) -> None:
    joining = Joining(("x",))
    requests = [{"x": np.full((count, 2), place), "r": np.array(7)} for place, count in enumerate(rows)]
    together = joining.joined(requests)
    assert together["r"] == 7
    answers = list(parted({"y": together["x"] * 10}, [joining.rows(each) for each in requests]))
    assert [answer["y"].tolist() for answer in answers] == [(each["x"] * 10).tolist() for each in requests]


def test_an_output_without_an_entry_per_row_is_a_fault_of_the_model() -> None:
    with pytest.raises(ModelError, match="output 'y' has not one entry for each row"):
        list(parted({"y": np.zeros((2, 3))}, [1, 2]))
