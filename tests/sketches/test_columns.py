"""From arrays to what is sketched of them: nothing is lost in silence, and counts are of rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlopt.core.errors import DataError
from mlopt.data.ragged import ragged
from mlopt.formats.model import TensorSpec
from mlopt.sketches.columns import PER_ROW, columns
from mlopt.sketches.plan import TensorPlan, plan_of


def planned(shape: tuple[int | str, ...], dtype: str = "float32", *, output: bool = False) -> TensorPlan:
    spec = [TensorSpec("t", dtype, shape)]
    return plan_of([] if output else spec, spec if output else []).tensors[0]


def bounded(plan: TensorPlan, *bounds: tuple[float, float] | None) -> TensorPlan:
    return replace(plan, bounds=bounds)


def test_each_feature_has_its_values_and_counts() -> None:
    x = np.array([[1, np.nan], [2, np.inf], [-3, -np.inf], [4, 5]], np.float32)
    found = columns(bounded(planned(("b", 2)), (-1, 3), None), x, 0)
    first, second = found.parts
    assert first.values.tolist() == [1, 2, -3, 4]
    assert (first.nan, first.inf, first.minus_inf, first.below, first.above) == (0, 0, 0, 1, 1)
    assert second.values.tolist() == [5]
    assert (second.nan, second.inf, second.minus_inf, second.below, second.above) == (1, 1, 1, None, None)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 20), st.just(3)), elements=st.floats(width=32)))
def test_every_value_is_sketched_or_counted(x: np.ndarray) -> None:
    for part in columns(planned(("b", 3)), x, 0).parts:
        assert len(part.values) + part.nan + part.inf + part.minus_inf == len(x)
        assert np.isfinite(part.values).all()


def test_what_is_too_large_for_a_sketch_counts_as_infinite() -> None:
    found = columns(planned(("b",), "float64"), np.array([1e300, -1e300, 1.0]), 0).parts[0]
    assert (found.inf, found.minus_inf, found.values.tolist()) == (1, 1, [1.0])


def test_of_large_rows_some_values_are_taken_and_the_moments_of_all() -> None:
    x = np.arange(4 * 1000, dtype=np.float32).reshape(4, 1000)
    values, means, deviations = columns(planned(("b", 1000)), x, 0).parts
    assert len(values.values) <= 4 * PER_ROW
    assert means.values == pytest.approx(x.mean(axis=1))
    assert deviations.values == pytest.approx(x.std(axis=1))


def test_over_many_rows_every_place_is_taken() -> None:
    plan, x = planned(("b", 1000)), np.arange(1000, dtype=np.float32)[None]
    taken = {value for seen in range(200) for value in columns(plan, x, seen).parts[0].values.tolist()}
    assert len(taken) == 1000


def test_moments_leave_out_what_is_not_finite_and_count_its_rows() -> None:
    x = np.zeros((3, 100), np.float32)
    x[0, :50], x[1], x[2, 3] = np.nan, np.nan, -np.inf
    values, means, _ = columns(planned(("b", 100)), x, 0).parts
    assert (values.nan, values.inf, values.minus_inf) == (2, 0, 1)
    assert means.values.tolist() == [0.0, 0.0]


def test_rows_of_several_sizes_are_taken_one_by_one() -> None:
    found = columns(planned(("b", "n")), ragged([np.ones(2, np.float32), np.empty(0, np.float32),
                                                 np.full(3, 2, np.float32)]), 0)  # fmt: skip
    assert found.parts[0].values.tolist() == [1, 1, 2, 2, 2]
    assert found.parts[1].values.tolist() == [1, 2]
    assert (found.rows, found.empty) == (3, 1)


def test_rows_out_of_range_are_counted_once_each() -> None:
    x = np.zeros((3, 70), np.float32)
    x[0, :2], x[1, 0], x[2, 5] = 9, -9, np.nan
    plan = bounded(planned(("b", 70)), (-1, 1), (-1, 1), (0, 1))
    values = columns(plan, x, 0).parts[0]
    assert (values.below, values.above) == (1, 1)


def test_classes_are_counted_and_how_sure_they_are() -> None:
    scores = np.array([[0, 3, 1], [5, 0, 0], [np.nan, 9, 0], [0, 2, 4]], np.float32)
    found = columns(planned(("b", 3), output=True), scores, 0)
    assert found.classes is not None
    assert found.classes.tolist() == [1, 1, 1]
    assert [part.values.tolist() for part in found.parts] == [[3, 5, 4], [2, 5, 2]]
    assert found.parts[0].nan == 1


def test_last_bits_of_an_output_are_no_change() -> None:
    plan = planned(("b", 1), output=True)
    ones = columns(plan, np.array([[1.0], [np.nextafter(np.float32(1), np.float32(0))]], np.float32), 0)
    assert ones.parts[0].values.tolist() == [1.0, 1.0]
    rounded = columns(plan, np.array([[0.123456]], np.float32), 0).parts[0].values[0]
    assert rounded == pytest.approx(0.123456, rel=1e-3)


def test_texts_have_lengths_and_null_is_not_empty() -> None:
    found = columns(planned(("b",), "string"), np.array(["abc", "", None, "abc", b"de"], dtype=object), 0)
    assert found.parts[0].values.tolist() == [3, 0, 3, 2]
    assert (found.parts[0].nan, found.empty, found.distinct) == (1, 1, ("", "abc", "de"))


def test_whole_numbers_are_counted_by_how_many_differ() -> None:
    assert columns(planned(("b", 2), "int64"), np.array([[3, 1], [1, 1]]), 0).distinct == (1, 3)
    assert columns(planned(("b", 2)), np.array([[3, 1], [1, 1]], np.float32), 0).distinct == ()


def test_rows_of_another_size_are_refused() -> None:
    with pytest.raises(DataError, match="another size"):
        columns(planned(("b", 2)), np.zeros((3, 4), np.float32), 0)
