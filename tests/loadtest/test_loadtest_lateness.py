"""Whether the generator kept its own times."""

from __future__ import annotations

import numpy as np
from load_example import volley

from mlopt.loadtest import lateness
from mlopt.loadtest.volley import Volley

LIMITS = ((0.99, 100.0),)


def test_who_is_late_by_more_than_a_tenth_of_the_limit_is_not_to_be_believed() -> None:
    punctual = volley([10.0] * 500, late_ms=9.0)
    assert lateness.doubt(punctual, 25, 256, LIMITS) is None
    found = lateness.doubt(volley([10.0] * 500, late_ms=11.0), 25, 256, LIMITS)
    assert found is not None
    why, remedy = found
    assert "the generator was late" in why
    assert "10 ms are allowed" in why
    assert "a machine of its own" in remedy


def test_without_a_limit_the_latency_is_the_measure_and_timers_have_their_two_milliseconds() -> None:
    assert lateness.doubt(volley([10.0] * 500, late_ms=1.9), 25, 256, ()) is None
    assert lateness.doubt(volley([10.0] * 500, late_ms=2.1), 25, 256, ()) is not None
    assert lateness.doubt(volley([500.0] * 500, late_ms=49.0), 25, 256, ()) is None
    assert lateness.doubt(volley([500.0] * 500, late_ms=51.0), 25, 256, ()) is not None


def test_each_limit_is_held_against_the_lateness_of_its_own_percentile() -> None:
    late = np.where(np.arange(1000) % 20 == 0, 50.0, 1.0).tolist()
    both = ((0.99, 100.0), (0.5, 100.0))
    assert lateness.doubt(volley([10.0] * 1000, late_ms=late), 50, 256, ((0.5, 100.0),)) is None
    found = lateness.doubt(volley([10.0] * 1000, late_ms=late), 50, 256, both)
    assert found is not None
    assert "1 % of the requests" in found[0]
    half = lateness.doubt(volley([10.0] * 1000, late_ms=15.0), 50, 256, ((0.5, 100.0),))
    assert half is not None
    assert "50 % of the requests" in half[0]


def test_one_request_in_a_hundred_may_be_late() -> None:
    late = np.where(np.arange(1000) % 200 == 0, 500.0, 0.0)
    assert lateness.doubt(volley([10.0] * 1000, late_ms=late.tolist()), 50, 256, LIMITS) is None


def test_unsent_requests_speak_of_the_server_only_where_enough_could_be_under_way() -> None:
    full = volley([10.0] * 100, failed=[(5, "unsent")])
    assert lateness.doubt(full, 100, 20, LIMITS) is None  # 10 are under way at the limit, and twice that is allowed
    found = lateness.doubt(full, 100, 19, LIMITS)
    assert found is not None
    assert "1 of 100 requests were not sent" in found[0]
    assert "--max-in-flight" in found[1]
    assert lateness.doubt(full, 100, 1000, ()) is not None


def test_where_nothing_was_sent_there_is_no_lateness() -> None:
    nothing = Volley.planned(np.arange(3.0))
    for number in range(3):
        nothing.fail(number, "unsent", "full")
    assert not len(lateness.lateness_ms(nothing))
    assert lateness.doubt(nothing, 1, 1000, LIMITS) is None
    assert lateness.allowed_ms(nothing, ()) == ((0.99, lateness.LEAST_MS),)
