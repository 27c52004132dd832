"""A speed with its interval: faster is what is measurably faster."""

from __future__ import annotations

import pytest

from mlopt.results.timing import Speed


@pytest.mark.parametrize(("low", "faster"), [(1.0001, True), (1.0, False), (0.9, False)])
def test_only_an_interval_that_excludes_1_is_faster(low: float, faster: bool) -> None:
    assert Speed(1.5, low, 2.0).faster is faster


def test_a_speed_is_read_with_its_interval() -> None:
    assert str(Speed(1.784, 1.7, 1.862)) == "1.78x (1.70 to 1.86)"
