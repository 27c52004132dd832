"""Limits are what chance does not exceed: in as many looks as they say, and they do not see the live figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sketched import document

from mlopt.monitor.chance import limits
from mlopt.monitor.compare import ComparedPair, Sample, pairs, psi, shift
from mlopt.sketches.kll import RANK_SIGMA


def pair(shares: list[float], rows: int = 1000, live_rows: int = 1000, noise: float = 0.0) -> ComparedPair:
    found = np.array(shares)
    return ComparedPair("input", "x", "0", Sample(found, rows, noise), Sample(found, live_rows, noise), ordered=True)


TENTHS = [0.1] * 10


@pytest.mark.heavy
@pytest.mark.parametrize("noise", [0.0, RANK_SIGMA])
def test_of_looks_at_unchanged_data_so_many_exceed_a_limit(noise: float) -> None:
    rate, count, looks = 0.05, 6, 2000
    compared = [pair(TENTHS, noise=noise)] * count
    found = limits(compared, rate)
    rng = np.random.default_rng(1)
    alarms = np.zeros(looks, bool)
    for one in found:
        a, b = (rng.multinomial(1000, TENTHS, size=looks) / 1000 for _ in range(2))
        alarms |= (shift(a, b) > one.shift) | (psi(a, b, 1000, 1000) > one.psi)
    assert alarms.mean() < 1.3 * rate
    if noise == 0:
        assert alarms.mean() > 0.7 * rate


def test_more_rows_make_limits_narrower_and_sketches_wider() -> None:
    few, many = (limits([pair(TENTHS, rows, rows)])[0] for rows in (200, 20_000))
    noisy = limits([pair(TENTHS, 20_000, 20_000, RANK_SIGMA)])[0]
    assert many.shift < noisy.shift < few.shift
    assert many.psi < noisy.psi < few.psi


def test_the_more_is_compared_the_wider_are_limits() -> None:
    alone, among = limits([pair(TENTHS)])[0], limits([pair(TENTHS)] * 20)[0]
    assert alone.shift < among.shift
    assert alone.psi < among.psi


def test_live_figures_play_no_part() -> None:
    one = pair(TENTHS)
    moved = replace(one, live=Sample(np.array([0.9] + [0.1 / 9] * 9), 1000, 0.0, (1, 2, 3)))
    assert limits([one]) == limits([moved])
    assert limits([one]) == limits([one]), "and they are the same each time"


def test_classes_have_no_shift_and_constants_no_limit_to_exceed() -> None:
    classes = replace(pair([0.5, 0.5]), ordered=False)
    found = limits([classes, pair([1.0])])
    assert found[0].shift < 1e-9 < found[0].psi
    assert found[1].shift < 1e-9
    assert limits([]) == []


def test_a_quarter_of_a_deviation_is_beyond_chance_for_5000_rows() -> None:
    compared = list(pairs(document(5000), document(5000, 1, 0.25)))
    found = limits(compared)
    wrong = {one.part for one, limit in zip(compared, found, strict=True) if one.shift > limit.shift}
    assert "1" in wrong
    assert not wrong & {"0", "2", "3", "4"}
