"""Spans of time as people write them."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from mlopt.cli.duration import duration


@pytest.mark.parametrize(("text", "seconds"), [
    ("90s", 90), ("5m", 300), ("5min", 300), ("1h30m", 5400), ("1h 30m".replace(" ", ""), 5400), ("2.5m", 150),
    (" 10S ", 10),
])  # fmt: skip
def test_spans_are_read(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "0s", "-3m", "5m5m", "1s2h", "half an hour", "infs", "0.2s"])
def test_what_is_no_span_says_how_to_write_one(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="5m, 90s or 1h30m"):
        duration(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(1, 59))
def test_hours_minutes_and_seconds_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert duration(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds
