"""What a lossless step may do to outputs, and what it may not: on every sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.core.errors import MeasureError
from mlopt.data.ragged import ragged
from mlopt.measure.lossless import change, not_finite

Array = np.ndarray[Any, Any]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 199), st.integers(0, 6), st.sampled_from([0.5, -3.0, np.nan, np.inf]))
def test_one_value_of_one_sample_is_found(sample: int, column: int, by: float) -> None:
    y = normal(200, 7)
    got = y.copy()
    got[sample, column] += by
    found = change({"y": y}, {"y": got})
    assert found is not None
    assert (found.sample, found.output, found.samples, found.count) == (sample, "y", 1, 200)
    assert found.first.place == f"value {column}"


def test_what_is_said() -> None:
    y = normal(3, 2)
    got = y.copy()
    got[1, 1] = np.nan
    said = "output 'y', sample 1: value 1 is nan where 0.1049 was expected; 1 of 3 evaluation samples differ"
    assert str(change({"y": y}, {"y": got})) == said


def test_rounding_is_none_of_it() -> None:
    y = normal(50, 9)
    assert change({"y": y}, {"y": y * np.float32(1 + 1e-5)}) is None
    assert change({"y": y.astype(np.float16)}, {"y": (y * np.float32(1 + 1e-3)).astype(np.float16)}) is None


def test_nan_and_infinity_are_equal_to_themselves_alone() -> None:
    y = np.array([[1.0, np.nan], [np.inf, 2.0]])
    assert change({"y": y}, {"y": y.copy()}) is None
    found = change({"y": y}, {"y": np.array([[1.0, 0.0], [-np.inf, 2.0]])})
    assert found is not None
    assert found.samples == 2
    assert not_finite({"z": np.ones((3, 2)), "y": y}) == {0: "y", 1: "y"}


def test_a_loud_sample_excuses_no_other() -> None:
    y = normal(10, 4) * np.float32([1e5] + [1] * 9).reshape(10, 1)
    got = y.copy()
    got[4] += 1
    assert change({"y": y}, {"y": got}) is not None


def test_a_faint_sample_has_the_rounding_of_the_others() -> None:
    y = normal(10, 4) * np.float32([1e-8] + [1] * 9).reshape(10, 1)
    assert change({"y": y}, {"y": y + np.float32(6e-8)}) is None


def test_a_number_may_happen_to_be_near_zero() -> None:
    """Of one logit per sample, some are: what they are off by is a rounding of what cancelled."""
    y = normal(5000, 1) * 5
    got = y + np.float32(1e-4) * normal(5000, 1, seed=1)
    assert change({"y": y}, {"y": got}) is None
    got[17] += 0.01
    assert change({"y": y}, {"y": got}) is not None


def test_a_pixel_in_very_many_may_tip_over_and_a_whole_sample_may_not() -> None:
    classes = np.random.default_rng(0).integers(0, 5, (20, 100, 100))
    tipped = classes.copy()
    tipped[[3, 9], 5, 5] += 1
    assert change({"classes": classes}, {"classes": tipped}) is None
    tipped[7, :4, :5] += 1  # 20 of 200,000, but all in one sample
    assert change({"classes": classes}, {"classes": tipped}) is not None
    labels = np.arange(300) % 7
    other = labels.copy()
    other[250] += 1
    found = change({"label": labels}, {"label": other})
    assert found is not None
    assert (found.sample, found.samples) == (250, 1)


def test_a_size_that_changed_is_named() -> None:
    found = change({"y": ragged([np.ones(3), np.ones(2)])}, {"y": ragged([np.ones(3), np.ones(1)])})
    assert (
        str(found) == "output 'y', sample 1: the shape is [1] where [2] was expected; 1 of 2 evaluation samples differ"
    )
    of_all = change({"y": np.ones((2, 3))}, {"y": np.ones((2, 4))})
    assert str(of_all).endswith("the shape is [4] where [3] was expected; 2 of 2 evaluation samples differ")
    with pytest.raises(MeasureError, match="not of the same names"):
        change({"y": np.ones((2, 3))}, {"z": np.ones((2, 3))})


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (1, 2, 3), None])
def test_a_sample_that_was_run_twice_counts_once(shape: tuple[int, ...] | None) -> None:
    """Whatever the rank, a size of its own for each sample included."""
    rows = [2, 0, 1, 2, 2]
    y = ragged([np.zeros(row + 1) for row in rows]) if shape is None else np.zeros((5, *shape))
    got = ragged([np.array(part) for part in y]) if shape is None else y.copy()
    for row in (0, 2, 4):
        got[row] += 1
    found = change({"y": y}, {"y": got}, samples=rows)
    assert found is not None
    assert (found.sample, found.samples, found.count) == (2, 2, 3)


def test_after_a_lossy_step_a_code_may_tip_over() -> None:
    source = normal(100, 10)
    coded = np.round(source * 8) / 8
    tipped = coded.copy()
    tipped[5, 3] += 0.0625
    assert change({"y": coded}, {"y": tipped}) is not None
    assert change({"y": coded}, {"y": tipped}, {"y": source}) is None
    tipped[5] *= 2
    found = change({"y": coded}, {"y": tipped}, {"y": source})
    assert found is not None
    assert found.sample == 5
    tipped[5] = np.nan
    assert change({"y": coded}, {"y": tipped}, {"y": source}) is not None
    worse = np.round(source * 8 + 0.3 * normal(100, 10, seed=1)) / 8  # no sample is far off, and all are worse
    assert change({"y": coded}, {"y": worse}, {"y": source}) is not None
