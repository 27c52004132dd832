"""What counts as rounding, and the first difference that does not."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlopt.measure.tolerance import relative_tolerance, scales, within_tolerance


def one(value: Any) -> dict[str, Any]:
    return {"y": np.asarray(value)}


def test_the_scale_may_be_that_of_more_samples() -> None:
    expected, got = one(np.full((1, 4), 1e-7)), one(np.full((1, 4), 2e-7))
    assert within_tolerance(expected, got) is not None
    assert within_tolerance(expected, got, {"y": 1.0}) is None
    assert within_tolerance(expected, one(np.full((1, 4), 2e-6)), {"y": 1.0}) is not None
    assert scales({"y": np.float32([[-3, 2]]), "n": np.array([7])}) == {"y": 3.0, "n": 0.0}


def test_what_is_not_floating_point_must_be_equal() -> None:
    assert relative_tolerance(np.zeros(1, np.int64), np.zeros(1, np.int64)) == 0.0
    assert relative_tolerance(np.zeros(1), np.zeros(1)) == 1e-3
    assert relative_tolerance(np.zeros(1), np.zeros(1, np.float16)) == 8 * 2.0**-10
