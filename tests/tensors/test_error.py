"""How far one tensor is from another, summed up over inferences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.measure import parity
from mlopt.tensors.error import Error, is_floating


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.floats(0, 10), st.integers(0, 2**32 - 1))
def test_one_inference_is_measured_as_parity_measures_it(rank: int, noise: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    a = draw.normal(size=(1, *draw.integers(1, 4, rank - 1)))
    b = a + noise * draw.normal(size=a.shape)
    error = Error()
    error.add(a, b)
    expected = parity.compare({"t": a}, {"t": b})
    assert error.max_abs == expected.max_abs
    assert error.cosine == pytest.approx(expected.cosine, abs=1e-9)
    assert error.sqnr_db == (None if expected.sqnr_db is None else pytest.approx(expected.sqnr_db))


def test_a_few_large_channels_do_not_hide_the_others() -> None:
    a = np.ones((2, 16, 3, 3))
    a[:, :2] *= 1e4
    b = a.copy()
    b[:, 2:] = 0.0
    error = Error()
    error.add(a, b)
    assert error.sqnr_db is not None
    assert error.sqnr_db > 60
    assert error.channel_db == pytest.approx(0.0)
    assert error.max_rel == pytest.approx(1e-4)


def test_channels_that_hold_next_to_nothing_are_not_the_median() -> None:
    """Of thousands of classes most have a probability of 1e-9, and an error as large."""
    error = Error()
    expected = np.full((1, 1000), 1e-9)
    expected[0, :3] = 0.3
    error.add(expected, expected * np.where(expected < 1e-3, 3.0, 1.01))
    assert error.channel_db == pytest.approx(40.0, abs=0.1)


def test_infinity_in_only_one_of_the_two_is_counted_and_left_out() -> None:
    error = Error()
    error.add(np.array([1.0, np.inf, np.nan, 2.0]), np.array([1.0, np.inf, np.nan, np.nan]))
    assert (error.broken, error.max_abs, error.sqnr_db) == (1, 0.0, None)


def test_what_is_no_float_is_equal_or_not() -> None:
    error = Error()
    error.add(np.array([1, 2, 3, 4]), np.array([1, 9, 3, 4]))
    error.add(np.array(["a"]), np.array(["a"]))
    assert (error.max_abs, error.max_rel, error.broken) == (1.0, 1.0, 0)
    assert error.sqnr_db == pytest.approx(10 * np.log10(5))


def test_an_error_where_zeros_were_expected_is_infinite_beside_them() -> None:
    error = Error()
    error.add(np.zeros(3), np.array([0.0, 1e-3, 0.0]))
    assert (error.max_rel, error.sqnr_db, error.cosine) == (np.inf, -200.0, 0.0)


def test_inferences_with_another_number_of_channels_count_for_the_whole_only() -> None:
    error = Error()
    error.add(np.ones((1, 4)), np.ones((1, 4)))
    error.add(np.ones((1, 3)), np.zeros((1, 3)))
    assert error.channel_db is None
    assert error.sqnr_db == pytest.approx(10 * np.log10(7 / 3))


@pytest.mark.parametrize(
    ("dtype", "floating"), [("f2", True), ("f8", True), ("i4", False), ("?", False), ("U1", False)]
)
def test_only_floating_point_has_small_errors(dtype: str, floating: bool) -> None:
    assert is_floating(np.zeros(1, dtype)) is floating
