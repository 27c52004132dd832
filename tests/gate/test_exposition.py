"""Prometheus's text format is read as its own client writes it; a line that is none is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from mlopt.core.errors import DataError
from mlopt.gate.exposition import samples


def test_what_the_client_writes_is_read() -> None:
    registry = CollectorRegistry()
    counter = Counter("mlopt_requests", "Told", ("model", "code"), registry=registry)
    counter.labels('a"b\\c\n{},=', "200").inc(3)
    Histogram("mlopt_request_seconds", "Told", registry=registry, buckets=(0.1, 1.0)).observe(0.5)
    found = {(one.name, one.labels.get("le"), one.labels.get("model")): one.value
             for one in samples(generate_latest(registry).decode(), "here")}  # fmt: skip
    assert found["mlopt_requests_total", None, 'a"b\\c\n{},='] == 3
    assert found["mlopt_request_seconds_bucket", "0.1", None] == 0
    assert found["mlopt_request_seconds_bucket", "+Inf", None] == 1
    assert found["mlopt_request_seconds_sum", None, None] == 0.5


@pytest.mark.parametrize("line", [
    "a", "a b", "a{ 1", 'a{b=1} 1', 'a{b="c" d="e"} 1', '{a="b"} 1', 'a{="b"} 1', "a 1 2 3", "<html>",
])  # fmt: skip
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(DataError, match="no sample") as caught:
        list(samples(f"# HELP a b\n\n{line}\n", "here"))
    assert "here:3" in str(caught.value)


def test_times_of_samples_are_passed_over() -> None:
    (found,) = samples("a_total 3 1700000000000\n", "here")
    assert found.value == 3


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = list(samples(text, "here"))
    except DataError:
        return
    assert all(isinstance(one.value, float) for one in found)
