"""A document fills row by row, as one call with all rows would fill it."""

from __future__ import annotations

import numpy as np
import pytest
from sketched import FEATURES, INPUTS, OUTPUTS, PLAN, document, of, rows

from mlopt.core.errors import DataError
from mlopt.data.ragged import ragged
from mlopt.formats.model import TensorSpec
from mlopt.sketches.plan import plan_of
from mlopt.sketches.sketcher import ROWS_AT_ONCE, Sketcher


def test_rows_in_small_calls_come_to_the_same_as_in_one() -> None:
    count = 150
    inputs, outputs = rows(count)
    sketcher = Sketcher(PLAN)
    for at in range(0, count, 7):
        sketcher.add({"x": inputs["x"][at : at + 7]}, {"y": outputs["y"][at : at + 7]})
    assert sketcher.rows == sketcher.offered == count
    assert sketcher.document() == of(inputs, outputs), "so few that each value is there"


def test_many_rows_are_taken_before_anybody_asks() -> None:
    sketcher = Sketcher(PLAN)
    for seed in range(5):
        sketcher.add(*rows(ROWS_AT_ONCE // 2, seed))
    found = sketcher.document()
    assert found.rows == 5 * (ROWS_AT_ONCE // 2)
    assert all(part.numbers.n == found.rows for part in found.tensors[0].parts)


def test_arrays_may_be_written_over_once_they_were_added() -> None:
    inputs, outputs = rows(20)
    sketcher = Sketcher(PLAN)
    sketcher.add(inputs, outputs)
    before = of({"x": inputs["x"].copy()}, {"y": outputs["y"].copy()})
    inputs["x"][:] = 0
    assert sketcher.document() == before


def test_what_is_not_sketched_is_counted_as_offered() -> None:
    sketcher = Sketcher(PLAN)
    sketcher.add(*rows(5))
    sketcher.skip(7)
    found = sketcher.document("a" * 64)
    assert (found.rows, found.offered, found.digest) == (5, 12, "a" * 64)


def test_tensors_that_are_absent_or_unknown_are_left_alone() -> None:
    sketcher = Sketcher(PLAN)
    sketcher.add({"x": rows(4)[0]["x"], "other": np.zeros(4)}, {})
    found = sketcher.document()
    assert [(one.name, one.rows) for one in found.tensors] == [("x", 4), ("y", 0)]


def test_an_output_without_an_entry_for_each_row_is_left_alone() -> None:
    sketcher = Sketcher(PLAN)
    sketcher.add(rows(4)[0], {"y": np.zeros((2, 3), np.float32)})
    assert [one.rows for one in sketcher.document().tensors] == [4, 0]


def test_batches_of_several_lengths_go_together() -> None:
    plan = plan_of([TensorSpec("ids", "int64", ("batch", "length"))], [])
    sketcher = Sketcher(plan)
    for length in (3, 5):
        sketcher.add({"ids": np.full((2, length), length)}, {})
    sketcher.add({"ids": ragged([np.array([1, 2]), np.array([3])])}, {})
    (found,) = sketcher.document().tensors
    assert (found.rows, found.parts[0].numbers.n, found.parts[1].numbers.n) == (6, 19, 6)
    assert found.distinct is not None


def test_rows_of_another_size_are_refused() -> None:
    sketcher = Sketcher(PLAN)
    sketcher.add({"x": np.zeros((2, FEATURES + 1), np.float32)}, {})
    with pytest.raises(DataError, match="another size"):
        sketcher.document()


def test_counts_are_exact() -> None:
    inputs, outputs = rows(300)
    inputs["x"][:17, 2], inputs["x"][17:20, 2], outputs["y"][0, 0] = np.nan, np.inf, np.nan
    found = of(inputs, outputs)
    part = found.tensors[0].parts[2]
    assert (part.nan, part.inf, part.numbers.n) == (17, 3, 280)
    assert (found.tensors[1].parts[0].nan, sum(found.tensors[1].classes or ())) == (1, 299)


def test_what_is_beyond_the_reference_is_counted() -> None:
    like = document(50)
    live = document(500, seed=1, shift=10.0, like=like)
    assert live.tensors[0].parts[1].above == 500
    assert live.tensors[0].parts[1].below == 0
    assert document(5).tensors[0].parts[0].below is None


def test_the_helper_has_one_tensor_on_each_side() -> None:
    assert (len(INPUTS), len(OUTPUTS), len(document(3).tensors)) == (1, 1, 2)
