"""``loadtest.md``."""

from __future__ import annotations

from load_example import record

from mlopt.loadtest.markdown import render
from mlopt.results.serving import ServerRecord


def test_it_has_the_verdict_the_gates_the_latencies_and_what_was_done() -> None:
    found = render(record())
    assert found.startswith("# words under load: FAIL\n")
    for part in (
        "## Gates",
        "## Latency",
        "## Errors",
        "## Against the other",
        "## Rates",
        "## What was done",
        "a note",
    ):
        assert part in found
    assert "http://127.0.0.1:9, model old" in found.replace("&#8203;", "")


def test_what_was_not_done_has_no_heading() -> None:
    found = render(record(ramp=None, comparison=None, gates=(), verdict=None, reasons=()))
    assert "## Rates" not in found
    assert "## Against the other" not in found
    assert "## Gates" not in found


def test_foreign_text_is_no_markup() -> None:
    found = render(record(served=ServerRecord(url="http://h", model="<b>|@me\n## x")))
    assert "<b>" not in found
    assert "\n## x" not in found
