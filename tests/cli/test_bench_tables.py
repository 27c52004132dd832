"""What ``mlopt bench`` prints: every model measured or lost, what was asked for besides, and the verdict last."""

from __future__ import annotations

import io
from typing import Any

import pytest
from gate_evidence import SPEEDUP, candidate, report
from packed_artifact import PASSED

from mlopt.bench.benchmark import Result
from mlopt.cli.bench_tables import show
from mlopt.cli.console import Screen
from mlopt.results.figures import ColdStart, OperatorTime, SweepPoint
from mlopt.results.report import Report

BASE, NEW = candidate("onnx_fp32", cold_start=ColdStart(load_ms=20.0, first_ms=5.25)), candidate("final")


def printed(found: Report | None, **changes: Any) -> list[str]:
    """Return the lines, as words with one blank between them."""
    parts: dict[str, Any] = {
        "candidates": {"onnx_fp32": BASE, "final": NEW}, "speedups": {"final": SPEEDUP}, "lost": {}, "blocks": {},
    }  # fmt: skip
    console = Screen(file=io.StringIO(), width=80, soft_wrap=True)
    show(Result(found, **(parts | changes)), console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    return [" ".join(line.split()) for line in lines]


def test_each_model_has_its_speed_and_its_costs() -> None:
    lines = printed(report())
    assert lines[1:3] == ["onnx_fp32 10.000 12.000 98.0 baseline", "final 10.000 12.000 98.0 1.36x (1.31 to 1.42)"]
    assert "onnx_fp32 20.000 5.250 4.30 MB 210 MB" in lines
    assert "final - - 4.30 MB 210 MB" in lines  # its start was not measured


def test_where_all_were_lost_the_causes_are_the_table() -> None:
    lines = printed(None, candidates={}, speedups={}, lost={"bad.onnx": "it was ended by SIGKILL " + "x" * 200})
    text = " ".join(lines)
    assert "bad.onnx - - - lost: it was ended by" in text
    assert text.count("x") < 100
    assert not any("load ms" in line for line in lines)


def test_a_loss_leaves_the_others_without_a_verdict() -> None:
    lines = printed(None, candidates={"final": NEW}, speedups={}, lost={"onnx_fp32": "it did not answer"})
    assert "final 10.000 12.000 98.0 -" in lines
    assert not any(line.startswith("verdict") for line in lines)


def test_a_sweep_names_each_model_once() -> None:
    latency = report().final.latency_ms
    points = [
        SweepPoint(
            name=name, batch_size=size, threads=2, concurrency=1, latency_ms=latency, throughput_per_s=10.0 * size
        )
        for name in ("onnx_fp32", "final")
        for size in (1, 8)
    ]
    lines = printed(report(sweep=points))
    assert lines.count("onnx_fp32 1 2 1 10.000 12.000 10.0") == 1
    assert lines.count("8 2 1 10.000 12.000 80.0") == 2


@pytest.mark.parametrize(("ms", "share"), [(1.0, "100.0 %"), (0.0, "-")])
def test_operators_that_took_no_time_have_no_share(ms: float, share: str) -> None:
    lines = printed(report(operators={"final": [OperatorTime(op_type="Conv", nodes=3, ms=ms)]}))
    assert f"Conv 3 {ms:.3f} {share}" in lines


def test_operators_beyond_ten_are_one_row() -> None:
    times = [OperatorTime(op_type=f"Op{n}", nodes=2, ms=1.0) for n in range(13)]
    lines = printed(report(operators={"final": times}))
    assert "Op9 2 1.000 7.7 %" in lines
    assert "3 other types 6 3.000 23.1 %" in lines
    assert not any(line.startswith("Op10") for line in lines)


def test_the_verdict_is_the_last_line_under_the_gates() -> None:
    failed = PASSED.model_copy(update={"metric": "size_mb", "limit": "<= 1", "verdict": "fail", "message": "4.3 MB"})
    lines = printed(report(gates=(PASSED, failed), verdict="fail", notes=("busy",)))
    assert lines[-5:] == [
        "pass latency.p95_ms <= 14", PASSED.message, "fail size_mb <= 1", "4.3 MB", "verdict fail",
    ]  # fmt: skip
    assert "note: busy" in lines


def test_what_a_report_says_is_text() -> None:
    gate = PASSED.model_copy(update={"message": "[bold]x[/bold] \x1b[31m"})
    lines = printed(report(gates=(gate,)), candidates={"[/b]\x1b": NEW}, lost={"\x07": "[link=x]"})
    text = "\n".join(lines)
    assert not {"\x1b", "\x07"} & set(text)
    assert "[/b]\ufffd" in text
