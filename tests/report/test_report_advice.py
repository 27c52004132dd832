"""What is said of a gate that failed: only what was measured, and what can be done about it."""

from __future__ import annotations

import re
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_example import example_report
from tried_example import TRIED, tried_report

from mlopt.report.advice import advised, sentences
from mlopt.report.ci import github, junit
from mlopt.report.markdown import render
from mlopt.results.report import GateVerdict, Report

METRICS = (
    "latency.p50_ms", "latency.p95_ms", "latency.p99.9_ms", "throughput_per_s", "speedup.median", "accuracy.value",
    "accuracy.drop_pt", "fidelity.cosine", "fidelity.sqnr_db", "size_mb", "size.ratio", "peak_rss_mb", "no.such",
)  # fmt: skip


def gate(metric: str, limit: str, value: float | None, verdict: Literal["pass", "fail"] = "fail") -> GateVerdict:
    return GateVerdict(metric=metric, limit=limit, value=value, ci95=None, n=None, verdict=verdict, message="It is.")


def said(report: Report, metric: str, limit: str, value: float | None) -> str:
    (found,) = sentences(report.model_copy(update={"gates": (gate(metric, limit, value),)}))
    return " ".join(found)


def test_a_failed_gate_on_speed_names_operators_and_the_nearest_setting() -> None:
    found = said(example_report(), "latency.p50_ms", "<= 0.2", 0.9)
    assert "the most time goes to QLinearConv (0.412 ms, 63 %), QGemm (0.0970 ms, 15 %) and MaxPool" in found
    assert "nearest is the model after quantize (5) at 0.84 [0.8299, 0.8501]." in found


def test_a_step_that_made_it_slower_is_named() -> None:
    report = example_report()
    slow = report.steps[5].model_copy(update={"latency_ms": report.steps[3].latency_ms})
    report = report.model_copy(update={"steps": (*report.steps[:5], slow)})
    assert "fuse made it slower: 0.840 ms before it, 2.31 ms after it." in said(report, "latency.p50_ms", "<= 0.2", 2.3)
    assert "To get it, add `--set passes.fuse.optional=true`" in said(report, "latency.p50_ms", "<= 0.9", 2.3)


def test_a_failed_gate_on_accuracy_names_what_lost_most_and_what_keeps_it() -> None:
    found = said(example_report(), "accuracy.drop_pt", "<= 0.05", 0.07)
    assert "quantize lost most: accuracy 98.47 % before it, 98.40 % after it." in found
    assert "The model after simplify (2) would meet it, at 0." in found
    assert "To get it, add `--set passes.4.optional=true` to the command." in found  # there are two of that name


def test_without_a_fall_of_the_metric_the_step_that_changed_outputs_most_is_named() -> None:
    found = said(example_report(), "fidelity.cosine", ">= 0.99999", 0.99871)
    assert "quantize changed the outputs most: cosine 0.99871, SQNR 26.4 dB" in found
    assert "The source as it is (onnx_fp32) would meet it, at 1." in found


def test_a_failed_gate_on_size_names_what_made_it_larger() -> None:
    found = said(example_report(), "size_mb", "<= 0.134", 0.134208)
    assert "fuse made it larger" in found
    assert "The model after quantize (5) would meet it" in found
    assert "leave `fuse` out of `passes`" in found


def test_what_breaks_another_gate_is_told_with_that() -> None:
    found = said(tried_report(), "speedup.median", ">= 3.1 vs onnx_fp32", tried_report().speedup.median)
    assert "The model after quantize (2), in openvino, would meet it, at 3.19" in found
    assert "but fidelity.cosine 0.52 is below 0.99" in found
    assert "To get it" not in found


def test_a_speedup_against_another_model_is_told_through_the_baseline() -> None:
    report = tried_report()
    direct = said(report, "speedup.median", ">= 3.1 vs onnx_fp32", report.speedup.median)
    other = said(report, "speedup.median", ">= 6.2 vs baseline", 2 * report.speedup.median)
    values = [float(each) for text in (direct, other) for each in re.findall(r"at ([0-9.]+[0-9])", text)]
    assert values[1] == pytest.approx(2 * values[0], rel=1e-3)
    assert "[" in direct
    assert "[" not in other  # the interval of one is not that of the other


def test_what_is_within_the_interval_is_not_nearer() -> None:
    report = example_report(operators={})
    wide = gate("latency.p50_ms", "<= 0.2", 0.85).model_copy(update={"interval": (0.8, 0.9)})
    (found,) = sentences(report.model_copy(update={"gates": (wide,)}))
    assert found == ("Not one of the 5 other settings that were measured comes nearer.",)


@pytest.mark.parametrize(
    ("one", "report"),
    [
        (gate("latency.p50_ms", "<= 0.2", 0.9, "pass"), example_report()),
        (gate("latency.p50_ms", "<= 0.2", None), example_report()),
        (gate("peak_rss_mb", "<= 1", 91.2), example_report()),
        (gate("latency.p50_ms", "is no limit", 0.9), example_report()),
        (gate("latency.p50_ms", "<= 0.2", 0.9), example_report(steps=(), operators={})),  # as of a bench
    ],
)
def test_nothing_is_said_where_nothing_is_known(one: GateVerdict, report: Report) -> None:
    report = report.model_copy(update={"gates": (one,)})
    assert sentences(report) == ((),)
    assert advised(report) is report


@given(st.lists(TRIED, max_size=8), st.sampled_from(METRICS), st.floats(), st.sampled_from([">=", "<="]))
def test_any_report_can_be_advised_on(tries: Any, metric: str, value: float, side: str) -> None:
    one = gate(metric, f"{side} 1.5", 1.0).model_copy(update={"value": value})
    report = tried_report(tried=tuple(tries), gates=(one,))
    (found,) = sentences(report)
    assert len(found) <= 6
    assert advised(report).gates[0].message == " ".join(("It is.", *found))


def test_all_renderings_say_the_same() -> None:
    one = gate("accuracy.drop_pt", "<= 0.05", 0.07)
    report = example_report(gates=(one,))
    wanted = "To get it, add `--set passes.4.optional=true` to the command."
    assert wanted in junit.render(report)
    assert wanted in github.annotate(report)
    escaped = wanted.replace("`", r"\`")
    assert escaped in render(report)
    assert escaped in github.summary(report)
