"""Differences and ratios of figures with intervals."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.report.estimate import minus, over

figures = st.floats(1e-300, 1e300)


estimates = st.builds(
    lambda low, middle, high: (sorted([low, middle, high])[1], (min(low, middle, high), max(low, middle, high))),
    figures, figures, figures,
)  # fmt: skip


@given(estimates, estimates)
@settings(deadline=None)
def test_a_ratio_lies_in_its_interval_which_is_wider_than_either(x: Any, y: Any):
    middle, (low, high) = over(x, y)
    assert low <= middle * (1 + 1e-9)
    assert middle <= high * (1 + 1e-9)
    assert math.isfinite(high)


def test_half_widths_add_as_squares():
    assert minus((5.0, (2.0, 8.0)), (1.0, (-3.0, 5.0))) == (4.0, (-1.0, 9.0))
    assert over((0.0, (0.0, 1.0)), (1.0, (1.0, 1.0))) is None
