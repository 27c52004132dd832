"""What looks at requests off their way: told in order, dropped when it is slow, and its faults are its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from served_models import row

from mlopt.serve.tap import Tap


class Slow:
    """Waits for leave at its first request; fails at what is negative."""

    def __init__(self) -> None:
        self.leave, self.begun = threading.Event(), threading.Event()
        self.values: list[float] = []

    def seen(self, model: str, digest: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        self.begun.set()
        assert self.leave.wait(10)
        if inputs["x"][0, 0] < 0:
            raise ValueError("negative")
        self.values.append(float(inputs["x"][0, 0]))

    def document(self, model: str) -> Mapping[str, Any]:
        return {}


def test_what_there_is_no_room_for_is_dropped_and_counted_and_nobody_waits() -> None:
    slow, counted = Slow(), []
    tap = Tap(slow, lambda *told: counted.append(told), most=2)
    tap.offer("m", "d", row(0.0), {}, 1)
    assert slow.begun.wait(10)
    for value in (1.0, 2.0, 3.0, 4.0):
        tap.offer("m", "d", row(value), {}, 1)
    assert tap.dropped == 2
    slow.leave.set()
    tap.close()
    assert slow.values == [0.0, 1.0, 2.0]
    assert counted == [("m", "d", 1)] * 3


def test_a_fault_of_the_observer_is_logged_and_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow()
    slow.leave.set()
    tap = Tap(slow, lambda *_: None)
    with caplog.at_level(logging.ERROR, logger="mlopt.serve.tap"):
        tap.offer("m", "d", row(-1.0), {}, 1)
        tap.offer("m", "d", row(5.0), {}, 1)
        tap.close()
    assert slow.values == [5.0]
    assert tap.dropped == 1
    assert "the requests did not" in caplog.text
