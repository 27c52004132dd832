"""The summary that ends ``mlopt optimize``: all of it, at 80 columns."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

from report_example import example_report
from rich.console import Console
from tried_example import LOOKS, tried, tried_report

from mlopt.cli.summary import show
from mlopt.results.report import Report


def printed(width: int, report: Report | None = None, **changes: object) -> str:
    console = Console(file=io.StringIO(), width=width, soft_wrap=True, highlight=False)
    show(report or example_report(**changes), console)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def test_the_summary_at_80_columns(golden: Callable[[str, str], None]) -> None:
    text = printed(80)
    assert max(map(len, text.splitlines())) <= 80
    golden("report/summary.txt", text)


def test_long_names_and_reasons_are_wrapped_not_lost() -> None:
    name = "acme." + "x" * 60
    step = example_report().steps[2].model_copy(update={"name": name, "reason": "why " * 40})
    text = printed(80, steps=(step,))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("why") == 40
    assert "".join(text.split()).count("x" * 20) >= 2


def test_markup_and_control_characters_in_a_report_are_text() -> None:
    step = example_report().steps[2].model_copy(update={"reason": "[bold]\x1b[31mred[/bold]"})
    text = printed(80, steps=(step,))
    assert "\x1b" not in text
    assert "[bold]" in text


def test_it_says_how_it_was_sampled_and_who_was_lost() -> None:
    text = printed(80)
    assert "sampled: 30 rounds, 2 looks, time spent; noise floor 3.1 %" in text
    assert "lost         openvino: its worker did not answer for 60 s and was ended" in text
    assert "sampled" not in printed(80, sampling=None)


def test_an_undecided_gate_that_counts_as_pass_is_shown_as_undecided() -> None:
    text = " ".join(printed(80).split())
    assert "inconclusive speedup.median >= 1.8 vs onnx_fp32" in text
    assert "Undecided counts as pass here, with a warning (on_inconclusive: warn)." in text


def test_ratios_that_cannot_be_trusted_are_called_so() -> None:
    doubted = example_report().speedup.model_copy(update={"control": (0.91, 0.97)})
    assert "are not to be trusted" in printed(80, speedup=doubted)
    assert "trusted" not in printed(80)


def test_without_gates_it_says_that_nothing_was_judged() -> None:
    assert "nothing was judged" in printed(80, gates=())


def test_what_was_tried_at_80_columns(golden: Callable[[str, str], None]) -> None:
    text = printed(80, report=tried_report())
    assert max(map(len, text.splitlines())) <= 80
    assert "and 4 more in the report" in text
    golden("report/tried_summary.txt", text)


def test_of_what_was_tried_eight_are_shown_whatever_they_are_called() -> None:
    looks = tuple(replace(look, model="m" * 90, runtime="r" * 90, why_not="w" * 900) for look in LOOKS * 100)
    text = printed(80, report=tried_report(tried=tried(looks)))
    assert max(map(len, text.splitlines())) <= 80
    assert "and 1,192 more in the report" in text
    assert len(text.splitlines()) < 70


def test_whose_merit_the_speed_is_comes_last() -> None:
    lines = " ".join(printed(80, report=tried_report()).split())
    assert lines.endswith("gives 2.45x (2.38x to 2.51x), and the passes give 1.19x (1.17x to 1.22x).")
