"""Failures in a row."""

from __future__ import annotations

from mlopt.serve.streaks import Streaks


def test_only_failures_in_a_row_of_one_version_count() -> None:
    streaks = Streaks(3)
    assert [streaks.failed("a"), streaks.failed("a")] == [False, False]
    streaks.succeeded("a")
    assert [streaks.failed(who) for who in "aababa"] == [False, False, False, True, False, True]


def test_zero_is_never() -> None:
    assert not any(Streaks(0).failed("a") for _ in range(100))
