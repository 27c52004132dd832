"""Values of inputs: what each dtype can hold, and how one array differs from another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlopt.formats.fixed import as_array, check, difference, frozen, thawed

DTYPES = ("float16", "float32", "float64", "int8", "int64", "uint8", "uint64", "bool")


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
def test_what_an_array_holds_comes_back_from_a_list(dtype: str, data: st.DataObject) -> None:
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.startswith("float") else None
    shapes = arrays.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3)
    array = data.draw(arrays.arrays(dtype, shapes, elements=elements))
    made = as_array(frozen(array.tolist()), dtype, array.shape)
    assert made.dtype == array.dtype
    np.testing.assert_array_equal(made, array)
    assert difference(array, made) is None


@given(st.recursive(st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
def test_lists_and_tuples_are_each_others_other_form(value: Any) -> None:
    assert thawed(frozen(value)) == value
    hash(frozen(value))


@pytest.mark.parametrize("value", [{}, None, [None], [{"a": 1}], object()])
def test_what_is_no_value_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="is no value of an input"):
        frozen(value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_limits_of_a_dtype_can_be_held_and_what_is_beyond_cannot(dtype: str) -> None:
    if dtype == "bool":
        return
    limits: Any = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
    for limit, beyond in ((limits.min, -1), (limits.max, 1)):
        edge = float(limit) if dtype.startswith("float") else int(limit)
        assert as_array(frozen(edge), dtype, ()) == limit
        with pytest.raises(ValueError, match="goes from"):
            check(frozen(int(edge) * 2 + beyond), dtype, ())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_only_finite_numbers_can_be_fixed(value: float) -> None:
    with pytest.raises(ValueError, match="only finite numbers"):
        check(frozen(value), "float32", ())


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("int64", 1.0), ("int64", True), ("float32", False), ("float32", "1"), ("bool", 0), ("string", 1)],
)
def test_no_type_stands_for_another(dtype: str, value: Any) -> None:
    with pytest.raises(ValueError, match="it holds"):
        check(frozen(value), dtype, ())


def test_a_size_that_is_free_cannot_be_filled() -> None:
    with pytest.raises(ValueError, match="the size 'n' is not fixed"):
        check(frozen(1), "int64", ("n",))


def test_checking_makes_no_array_however_large_the_input_is() -> None:
    check(frozen(1), "float64", (1 << 40, 1 << 40))


def test_texts_are_compared_as_texts_whatever_holds_them() -> None:
    wanted = as_array(frozen(["a", "long one"]), "string", (2,))
    assert difference(np.array(["a", "long one"], object), wanted) is None
    assert difference(np.array(["a", "b"]), wanted) == "b at [1] instead of long one"
    assert difference(np.array([1, 2]), wanted) is not None
