"""What looks at requests is shown each of them, and its faults are its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from served_models import row

from mlopt.serve.tap import Tap


class Picky:
    """Fails at what is negative."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def seen(self, model: str, digest: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        if inputs["x"][0, 0] < 0:
            raise ValueError("negative")
        self.values.append(float(inputs["x"][0, 0]))

    def document(self, model: str) -> Mapping[str, Any]:
        return {}


def test_each_request_is_shown_and_counted() -> None:
    picky, counted = Picky(), []
    tap = Tap(picky, lambda *told: counted.append(told))
    for value in (0.0, 1.0, 2.0):
        tap.show("m", "d", row(value), {}, 1)
    assert picky.values == [0.0, 1.0, 2.0]
    assert counted == [("m", "d", 1)] * 3


def test_faults_of_the_observer_are_counted_and_the_first_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    picky, counted = Picky(), []
    tap = Tap(picky, lambda *told: counted.append(told))
    with caplog.at_level(logging.ERROR, logger="mlopt.serve.tap"):
        for value in (-1.0, 5.0, -2.0):
            tap.show("m", "d", row(value), {}, 1)
    assert picky.values == [5.0]
    assert (tap.failed, len(counted), len(caplog.records)) == (2, 1, 1)
    assert "the requests did not" in caplog.text
