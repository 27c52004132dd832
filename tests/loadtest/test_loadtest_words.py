"""What every rendering says of a load test."""

from __future__ import annotations

import pytest
from load_example import figures, noisy, record, step

from mlopt.loadtest import words


def test_the_headline_counts_right_answers() -> None:
    assert words.headline(record()).startswith("At 100 requests/s for 20 s 1,998 of 2,000 requests were answered right")


def test_the_verdict_and_its_colour() -> None:
    assert [(words.verdict(record(verdict=each)), words.role(record(verdict=each)))
            for each in ("pass", "fail", "inconclusive", None)] == [
        ("PASS", "good"), ("FAIL", "bad"), ("INCONCLUSIVE", "warn"), ("NOT JUDGED", "quiet"),
    ]  # fmt: skip


def test_reasons_are_told_once_and_end_with_what_to_do() -> None:
    late = record(verdict="inconclusive", reasons=("late",), doubt="late", remedy="a machine of its own")
    assert [*words.reasons(late)] == ["Late.", "To decide: a machine of its own."]
    assert [*words.reasons(record(doubt="late"))][-1] == "Late."


def test_the_figures_at_the_top_have_their_intervals() -> None:
    found = words.top(record())
    assert [one.label for one in found] == ["p99", "p50", "Errors", "Highest rate"]
    assert found[3].value == "141 /s"
    assert found[3].detail == "broken at 200 /s"
    assert words.top(record(ramp=None))[3].label == "Answered"
    none = words.top(record(figures=figures(noisy(50))))[0]
    assert none.value == "not given"
    assert "at least 299" in none.detail


def test_the_account_says_who_was_asked_what_and_how() -> None:
    found = dict(words.account(record()))
    assert found["artifact"] == "ab" * 32
    assert "Poisson (seed 0), open loop" in found["load"]
    assert found["samples"] == "16 requests, 1 row each: made up"
    assert "on average, p99" in found["lateness"]
    assert found["utilization"].startswith("70.9 %")


def test_errors_are_told_in_words_and_codes() -> None:
    assert [*words.errors(record().figures)] == [
        ("http 503", "1", "http_503 of request 7"),
        ("timeout (no answer within the time limit)", "1", "timeout of request 8"),
    ]


def test_every_table_has_as_many_cells_as_heads() -> None:
    found = record()
    assert found.ramp is not None
    assert found.comparison is not None
    tables = (
        (words.LATENCY_HEADS, words.latencies(found.figures)), (words.GATE_HEADS, words.gates(found.gates)),
        (words.RAMP_HEADS, words.ramp(found.ramp.steps)), (words.ERROR_HEADS, words.errors(found.figures)),
        (words.DIFFERENCE_HEADS, words.differences(found.comparison.differences)),
    )  # fmt: skip
    for heads, rows in tables:
        listed = [*rows]
        assert listed
        assert {len(row) for row in listed} == {len(heads)}


def test_a_rate_in_doubt_says_why() -> None:
    (row,) = words.ramp((step(100, "inconclusive", doubt="late"),))
    assert row[-1] == "inconclusive: late"


@pytest.mark.parametrize(("share", "text"), [(0.0, "0.00 %"), (0.0012, "0.12 %"), (0.25, "25.0 %")])
def test_small_shares_have_more_digits(share: float, text: str) -> None:
    assert words.percent(share) == text
