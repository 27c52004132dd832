"""Limits in service are derived from what was measured, and say so."""

from __future__ import annotations

import pytest
from gate_evidence import LATENCY, report

from mlopt.core.errors import UserError
from mlopt.monitor.objectives import bounds, bucket_of, objectives, seconds_of

DIGEST = "d" * 64


def test_without_a_limit_it_is_some_times_what_was_measured() -> None:
    found = objectives(report(), "digits", DIGEST)
    assert 0.060 <= found.latency_s < 0.060 * 1.15
    assert found.latency_s in set(bounds())
    assert found.queue_rows == int(98.0 * found.latency_s)
    assert "4 times the measured p99 of 15 ms" in found.reasons[0]


def test_the_highest_percentile_that_was_measured_counts() -> None:
    slower = report({"latency_ms": LATENCY.model_copy(update={"p99": None, "p95": None})})
    assert "measured p50 of 10 ms" in objectives(slower, "digits", DIGEST).reasons[0]


def test_a_limit_that_is_given_stands() -> None:
    found = objectives(report(), "digits", DIGEST, slo="p99=100ms")
    assert 0.1 <= found.latency_s < 0.115
    assert "p99=100ms, as given" in found.reasons[0]


@pytest.mark.parametrize(
    ("text", "seconds"), [("100ms", 0.1), ("p99=2s", 2.0), ("p99 = 1.5 ms", 0.0015), ("50us", 5e-5)]
)
def test_a_limit_has_a_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["100", "p99=", "p50=3ms", "0ms", "fast", "1e3ms"])
def test_anything_else_is_no_limit(text: str) -> None:
    with pytest.raises(UserError, match="no limit on latency"):
        seconds_of(text)


@pytest.mark.parametrize("share", [0.0, 1.0, 99.9])
def test_an_availability_is_a_share(share: float) -> None:
    with pytest.raises(UserError, match="availability"):
        objectives(report(), "digits", DIGEST, availability=share)


def test_buckets_are_those_of_the_server() -> None:
    served = pytest.importorskip("mlopt.serve.metrics", reason="this copy has no server")
    assert tuple(bounds()) == served.buckets()
    assert bucket_of(1e9) == 60.0
