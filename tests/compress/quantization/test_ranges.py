"""The range that each method makes of the values of one tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlopt.compress.quantization.ranges import Extremes, Histogram, MeanExtremes, entropy, percentile

Floats = np.ndarray[Any, np.dtype[np.float32]]
VALUES = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-(2.0**99), 2.0**99, width=32))
METHODS = [Extremes, MeanExtremes, lambda: Histogram(percentile), lambda: Histogram(entropy)]
IDS = ["minmax", "moving_average", "percentile", "entropy"]


def of(*values: float) -> Floats:
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize("method", METHODS, ids=IDS)
@pytest.mark.parametrize("value", [0.0, 3.5, -2.0, 1e-42])
def test_a_constant_has_itself_as_its_range(method: Any, value: float) -> None:
    seen = method()
    seen.add(of(value, value))
    seen.add(of(value))
    assert seen.ends() == (of(value)[0], of(value)[0])


@pytest.mark.parametrize("method", METHODS, ids=IDS)
@pytest.mark.parametrize("mask", [-np.inf, -3.4e38, np.nan])
def test_a_mask_is_told_as_it_is_without_a_warning(method: Any, mask: float) -> None:
    seen = method()
    seen.add(of(0.0, 1.0))
    seen.add(of(mask, 1.0))
    low, _ = seen.ends()
    assert not low > -1e38


def test_moving_average_is_the_mean_of_each_times_extremes() -> None:
    seen = MeanExtremes()
    for values in (of(-1, 1), of(-3, 2), of(-2, 9)):
        seen.add(values)
    assert seen.ends() == (-2.0, 4.0)


def test_percentile_cuts_what_is_rare_and_keeps_what_is_not() -> None:
    values = np.random.default_rng(0).uniform(-1, 2, 400_000).astype(np.float32)
    values[0] = 50.0
    seen = Histogram(percentile)
    for part in np.split(values, 8):
        seen.add(part)
    low, high = seen.ends()
    assert low == pytest.approx(-1, abs=0.03)
    assert high == pytest.approx(2, abs=0.03)


def test_entropy_cuts_a_long_thin_tail() -> None:
    rng = np.random.default_rng(0)
    seen = Histogram(entropy)
    seen.add(rng.normal(size=200_000).astype(np.float32))
    seen.add(of(*rng.uniform(20, 40, 20)))
    low, high = seen.ends()
    assert low == pytest.approx(-4.6, abs=0.1)
    assert 4 < high < 35


@settings(max_examples=25, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=6))
def test_a_histogram_loses_no_value_and_stays_as_large_as_it_was(parts: list[Floats]) -> None:
    seen = Histogram(percentile)
    size = seen.counts.size
    for part in parts:
        seen.add(part)
    values = np.concatenate(parts)
    low, high = seen.ends()
    assert seen.counts.size == size
    assert seen.counts.sum() == values.size
    assert values.min() <= low <= high <= values.max()


@settings(max_examples=20, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_of_few_values_none_is_cut_by_more_than_a_bin(parts: list[Floats]) -> None:
    seen = Histogram(percentile)
    for part in parts:
        seen.add(part)
    values = np.concatenate(parts)
    low, high = seen.ends()
    width = 2 * seen.limit / seen.counts.size
    assert low - values.min() <= width
    assert values.max() - high <= width
