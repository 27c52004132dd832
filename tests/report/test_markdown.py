"""report.md: the whole evidence as Markdown, with nothing in it that a name could turn into markup."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_example import example_report
from tried_example import tried_report

from mlopt.report import markdown


def test_the_example(golden: Callable[[str, str], None]) -> None:
    golden("report/report.md", markdown.render(example_report()))


def test_a_report_without_gates_data_and_notes_has_no_empty_sections() -> None:
    text = markdown.render(example_report(gates=(), data={}, notes=(), steps=()))
    assert "nothing was judged" in text
    assert "## Data" not in text
    assert "## Notes" not in text
    assert "\n\n\n" not in text


def test_what_was_not_measured_has_no_section() -> None:
    text = markdown.render(example_report(sampling=None, sweep=(), operators={}, accuracy_drop=None))
    assert "## Under load" not in text
    assert "## Where the time goes" not in text
    assert "## Accuracy" not in text
    assert "- A/A control: 0.9871x to 1.0312x, includes 1x; noise floor 3.1 %" in text


def test_a_run_whose_control_excludes_1_says_so_at_the_top() -> None:
    doubted = example_report().speedup.model_copy(update={"control": (0.91, 0.97)})
    text = markdown.render(example_report(speedup=doubted))
    assert "> **The ratios of speed of this run are not to be trusted as they stand." in text.partition("| Figure")[0]
    assert "not to be trusted" not in markdown.render(example_report())


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("<script>", "\\<script\\>"),
        ("a|b", "a\\|b"),
        ("[x](javascript:y)", "\\[x\\](javascript:y)"),
        ("two\nlines", "two lines"),
        ("onnx_fp32", "onnx_fp32"),
        ("__init__", "\\_\\_init\\_\\_"),
        ("\x1b[31mred", "\ufffd\\[31mred"),
    ],
)
def test_text_shows_as_it_is(raw: str, shown: str) -> None:
    assert markdown.text(raw) == shown


@given(st.text())
def test_a_code_span_cannot_be_left(raw: str) -> None:
    span = markdown.code(raw)
    assert span.count("`") == 2
    assert "\n" not in span
    assert "|" not in span.replace("\\|", "")


@settings(max_examples=60, deadline=None)
@given(name=st.text(max_size=30), message=st.text(max_size=60))
def test_every_table_keeps_its_columns(name: str, message: str) -> None:
    report = example_report()
    gate = report.gates[0].model_copy(update={"metric": name, "message": message})
    step = report.steps[0].model_copy(update={"name": name, "reason": message})
    text = markdown.render(example_report(gates=(gate,), steps=(step,)))
    rows = [line for line in text.split("\n") if line.startswith("|")]
    bars = [row.replace("\\\\", "").replace("\\|", "").count("|") for row in rows]
    assert bars == [4] * (11 + 3) + [7] * 6 + [8] * 10 + [4] * 8


def test_a_run_that_chose_among_runtimes(golden: Callable[[str, str], None]) -> None:
    golden("report/tried.md", markdown.render(tried_report()))
