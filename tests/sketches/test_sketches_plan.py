"""What is sketched of which tensor, and what is left out when there would be too much."""

from __future__ import annotations

import numpy as np
import pytest
from sketched import INPUTS, OUTPUTS, PLAN, document

from mlopt.data.ragged import ragged
from mlopt.formats.model import TensorSpec
from mlopt.sketches.document import MAX_PARTS
from mlopt.sketches.plan import OF_CLASSES, OF_TEXT, OF_VALUES, plan_like, plan_of


def spec(shape: tuple[int | str, ...], dtype: str = "float32", name: str = "t") -> TensorSpec:
    return TensorSpec(name, dtype, shape)


@pytest.mark.parametrize(("given", "form", "parts"), [
    (spec(("batch", 20)), "features", tuple(map(str, range(20)))),
    (spec(("batch",)), "features", ("0",)),
    (spec(("batch", 8, 8)), "features", tuple(map(str, range(64)))),
    (spec(("batch", 65)), "values", OF_VALUES),
    (spec(("batch", "length"), "int64"), "values", OF_VALUES),
    (spec((4, 3), "bool"), "features", ("0", "1", "2")),
    (spec(("batch",), "string"), "text", OF_TEXT),
])  # fmt: skip
def test_an_input_is_sketched_by_the_size_of_its_rows(given: TensorSpec, form: str, parts: tuple[str, ...]) -> None:
    (found,) = plan_of([given], []).tensors
    assert (found.form, found.parts, found.bounds) == (form, parts, (None,) * len(parts))


@pytest.mark.parametrize(("given", "form", "parts"), [
    (spec(("batch", 10)), "classes", OF_CLASSES),
    (spec(("batch", 1000)), "classes", OF_CLASSES),
    (spec(("batch", 1001)), "values", OF_VALUES),
    (spec(("batch", 1)), "features", ("0",)),
    (spec(("batch", 5), "int64"), "features", tuple(map(str, range(5)))),
    (spec(("batch", 3, 4)), "values", OF_VALUES),
    (spec(("batch", "found", 4)), "values", OF_VALUES),
])  # fmt: skip
def test_an_output_may_be_scores_of_classes(given: TensorSpec, form: str, parts: tuple[str, ...]) -> None:
    (found,) = plan_of([], [given]).tensors
    assert (found.side, found.form, found.parts) == ("output", form, parts)


def test_where_a_row_is_a_whole_input_its_first_axis_counts_too() -> None:
    whole = {"input": {"t": np.zeros((5, 2, 3), np.float32)}, "output": {}}
    assert plan_of([spec((2, 3))], []).tensors[0].size == 3
    assert plan_of([spec((2, 3))], [], whole).tensors[0].size == 6


def test_rows_of_several_sizes_share_a_sketch() -> None:
    found = ragged([np.zeros(2, np.float32), np.zeros(3, np.float32)])
    for shape in (("n",), (2, "n")):
        assert plan_of([], [spec(shape)], {"input": {}, "output": {"t": found}}).tensors[0].form == "values"


def test_what_cannot_be_sketched_is_said_so() -> None:
    found = plan_of([spec(("b", 2), "complex64"), spec(("b", 0), name="none"), spec(("b", 2), "bfloat16")], [])
    assert found.tensors == ()
    assert found.left_out == (
        "input 't': values of complex64 are not sketched", "input 'none': its rows hold no values",
        "input 't': values of bfloat16 are not sketched",
    )  # fmt: skip


def test_no_more_is_planned_than_a_document_holds() -> None:
    many = plan_of([spec(("b", 64), name=str(number)) for number in range(60)], [])
    assert sum(len(one.parts) for one in many.tensors) <= MAX_PARTS
    assert len(many.tensors) + len(many.left_out) == 60
    assert "too many tensors" in many.left_out[-1]
    few = plan_of([spec(("b", 64), name=str(number)) for number in range(4)], OUTPUTS)
    assert len(few.tensors) == 5


def test_a_plan_like_a_document_knows_its_range() -> None:
    made = document(100)
    found = plan_like(made)
    assert [(one.name, one.form, one.parts) for one in found.tensors] == [
        (one.name, one.form, one.parts) for one in PLAN.tensors
    ]
    first = made.tensors[0].parts[0].numbers
    assert found.tensors[0].bounds[0] == (first.low, first.high)


def test_the_plan_of_the_helper_is_that_of_its_tensors() -> None:
    assert plan_of(INPUTS, OUTPUTS) == PLAN
