"""When requests are to be sent: drawn by a seed, at the rate that was asked for, shared out fairly."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlopt.loadtest import arrivals


@given(st.floats(0.5, 300), st.floats(1, 20), st.integers(0, 2**32), st.booleans())
def test_moments_ascend_within_the_time(rate: float, seconds: float, seed: int, constant: bool) -> None:
    found = arrivals.moments(rate, seconds, seed, constant=constant)
    assert (np.diff(found) >= 0).all()
    assert ((found >= 0) & (found < seconds)).all()


def test_a_poisson_stream_has_the_rate_and_gaps_as_irregular_as_their_mean() -> None:
    found = arrivals.moments(200, 100, 3)
    assert abs(len(found) - 20_000) < 5 * 20_000**0.5
    gaps = np.diff(found)
    assert 0.95 < gaps.std() / gaps.mean() < 1.05


def test_a_constant_stream_has_equal_gaps_and_every_request() -> None:
    found = arrivals.moments(10, 3, 0, constant=True)
    assert len(found) == 30
    assert found[0] == 0
    assert np.allclose(np.diff(found), 0.1)


def test_the_seed_decides() -> None:
    assert np.array_equal(arrivals.moments(50, 5, 1), arrivals.moments(50, 5, 1))
    assert not np.array_equal(arrivals.moments(50, 5, 1)[:100], arrivals.moments(50, 5, 2)[:100])


@given(st.integers(0, 300), st.integers(1, 20), st.integers(0, 1000))
def test_every_sample_has_its_turn_before_any_has_two(count: int, different: int, seed: int) -> None:
    found = arrivals.samples(count, different, seed)
    times = Counter(found.tolist())
    assert len(found) == count
    assert max(times.values(), default=0) - min((times[each] for each in range(different)), default=0) <= 1


def test_of_two_requests_each_server_gets_one_and_neither_is_always_first() -> None:
    found = arrivals.servers(400, 2, 0)
    assert all({int(a), int(b)} == {0, 1} for a, b in found.reshape(-1, 2))
    assert 60 < int(found[::2].sum()) < 140
    assert not arrivals.servers(10, 1, 0).any()
