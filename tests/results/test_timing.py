"""A speed with its interval: faster is what is measurably faster."""

from __future__ import annotations

import pytest

from mlopt.results.timing import Race, Speed


@pytest.mark.parametrize(("low", "faster"), [(1.0001, True), (1.0, False), (0.9, False)])
def test_only_an_interval_that_excludes_1_is_faster(low: float, faster: bool) -> None:
    assert Speed(1.5, low, 2.0).faster is faster


def test_a_speed_is_read_with_its_interval() -> None:
    assert str(Speed(1.784, 1.7, 1.862)) == "1.78x (1.70 to 1.86)"


def race(control: Speed, **speeds: Speed) -> Race:
    return Race(speeds, control, {})


def test_a_gain_is_beyond_what_two_copies_of_one_model_differ_by() -> None:
    quiet, loud = Speed(1.0, 0.99, 1.02), Speed(1.0, 0.9, 1.1)
    assert quiet.low < 1 < quiet.high
    assert race(quiet, a=Speed(1.05, 1.01, 1.1)).gains("a")
    assert not race(loud, a=Speed(1.05, 1.01, 1.1)).gains("a")
    assert not race(quiet, a=Speed(1.05, 0.99, 1.1)).gains("a")
    assert not race(quiet, a=Speed(0.9, 0.8, 0.95)).gains("a")
    assert not race(quiet).gains("a")
    assert race(loud).noise == pytest.approx(1 / 0.9 - 1)


def test_what_may_be_a_gain_is_more_on_a_noisy_machine() -> None:
    quiet, loud = Speed(1.0, 0.99, 1.01), Speed(1.0, 0.9, 1.1)
    slower = Speed(0.95, 0.85, 1.05)
    assert not race(quiet, a=slower).may_gain("a")
    assert race(loud, a=slower).may_gain("a")
    assert race(quiet, a=Speed(1.2, 0.9, 1.4)).may_gain("a")
    assert not race(loud, a=Speed(0.95, 0.9, 0.99)).may_gain("a")
    assert not race(loud).may_gain("a")


def test_where_the_copies_surely_differ_a_speed_may_be_off_by_as_much() -> None:
    off = Speed(1.05, 1.03, 1.07)
    assert not race(off, a=Speed(1.1, 1.06, 1.2)).gains("a")
    assert race(off, a=Speed(1.2, 1.08, 1.3)).gains("a")
    assert not race(Speed(0.95, 0.93, 0.97), a=Speed(1.1, 1.06, 1.2)).gains("a")
