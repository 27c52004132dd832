"""The pictures of a load test."""

from __future__ import annotations

from load_example import record, step

from mlopt.loadtest import pictures
from mlopt.results.serving import RampRecord


def test_latency_over_time_marks_where_requests_failed() -> None:
    found = pictures.over_time(record())
    assert found is not None
    assert "--bad" in found.svg
    assert "red where requests failed" in found.caption


def test_without_figures_over_time_there_is_no_picture() -> None:
    given = record()
    empty = given.figures.model_copy(update={"over_time": ()})
    assert pictures.over_time(given.model_copy(update={"figures": empty})) is None


def test_the_rates_say_what_was_kept_and_what_was_broken() -> None:
    found = pictures.ramp(record())
    assert found is not None
    assert "Kept: 141 /s; broken: 200 /s" in found.caption
    assert {"--good", "--bad"} <= set(found.svg.replace("(", " ").replace(",", " ").split())


def test_a_search_without_figures_has_no_picture() -> None:
    assert pictures.ramp(record(ramp=None)) is None
    nothing = step(100).model_copy(update={"latency_ms": {"p99": None}})
    assert pictures.ramp(record(ramp=RampRecord(steps=(nothing,), kept=None, broken=None, ended="time"))) is None
