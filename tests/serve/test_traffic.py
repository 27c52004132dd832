"""Shares of requests: what may be asked for, and who is chosen."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mlopt.serve.faults import AnswerError
from mlopt.serve.traffic import Traffic, asked

KNOWN = ("a", "b", "c")


def test_a_point_chooses_by_weight() -> None:
    traffic = Traffic({"a": 90.0, "b": 10.0, "c": 0.0})
    assert [traffic.chosen(point) for point in (0.0, 0.89, 0.91, 0.999999)] == ["a", "a", "b", "b"]
    draw = random.Random(0)
    count = sum(traffic.chosen(draw.random()) == "b" for _ in range(10_000))
    assert abs(count - 1000) < 4 * 30, "four standard deviations of a binomial"


def test_weights_that_come_to_a_hair_less_than_100_leave_no_request_over() -> None:
    assert Traffic({"a": 33.33, "b": 33.33, "c": 33.33}).chosen(0.99999) == "c"
    assert Traffic().chosen(0.5) is None
    assert Traffic({"a": 0.0}).chosen(0.5) is None


def test_what_is_asked_for_is_read() -> None:
    found = asked({"weights": {"a": 90, "b": 10}, "shadow": {"c": 25.5}}, KNOWN)
    assert found == Traffic({"a": 90.0, "b": 10.0}, {"c": 25.5})


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ([], 400), ({}, 400), ({"weights": {"a": 90}}, 400), ({"weights": {"a": 100}, "more": 1}, 400),
        ({"weights": {"a": -1, "b": 101}}, 400), ({"weights": {"a": True}}, 400), ({"weights": {"a": "100"}}, 400),
        ({"weights": {"a": float("nan")}}, 400), ({"weights": {"a": 100}, "shadow": {"b": 101}}, 400),
        ({"weights": {"z": 100}}, 409), ({"weights": {"a": 100}, "shadow": {"z": 1}}, 409),
    ],
)  # fmt: skip
def test_what_is_malformed_is_400_and_what_cannot_serve_409(document: Any, status: int) -> None:
    with pytest.raises(AnswerError) as caught:
        asked(document, KNOWN)
    assert caught.value.status == status


def test_a_version_that_goes_leaves_its_share_to_its_heir_who_is_no_shadow_then() -> None:
    traffic = Traffic({"a": 70.0, "b": 30.0}, {"b": 5.0, "c": 10.0})
    assert traffic.without("a", "b") == Traffic({"b": 100.0}, {"c": 10.0})
    assert traffic.without("c") == Traffic({"a": 70.0, "b": 30.0}, {"b": 5.0})
