"""What a report claims, in words and figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_example import P999_REASON, example_report

from mlopt.report import facts
from mlopt.report.schema import Accuracy, Speedup


def test_the_stages_are_references_then_steps_then_the_final_model() -> None:
    rows = facts.stages(example_report())
    assert [row.part for row in rows] == ["reference"] * 2 + ["step"] * 7 + ["final"]
    assert [row.label for row in rows if not row.kept] == ["fp16", "quantize", "acme.prune"]


@pytest.mark.parametrize(
    ("median", "ci95", "noise", "words", "side"),
    [
        (1.78, (1.71, 1.86), 0.03, "1.78x as fast as onnx_fp32", 1),
        (1.78, (1.02, 2.5), 0.80, "No measurable difference in speed from onnx_fp32", 0),
        (1.78, (0.97, 2.5), 0.0, "No measurable difference in speed from onnx_fp32", 0),
        (0.8, (0.7, 0.9), 0.03, "0.80x as fast as onnx_fp32", -1),
        (0.8, (0.7, 0.98), 0.30, "No measurable difference in speed from onnx_fp32", 0),
        (0.8, (0.7, 1.1), 0.0, "No measurable difference in speed from onnx_fp32", 0),
    ],
)
def test_a_difference_is_claimed_only_beyond_the_noise(
    median: float, ci95: tuple[float, float], noise: float, words: str, side: int
) -> None:
    speedup = Speedup(median=median, ci95=ci95, vs="onnx_fp32", noise_floor=noise)
    assert facts.speed_claim(speedup) == words
    assert facts.beyond_noise(speedup) == side


def test_the_headline_says_what_was_won_and_what_it_cost() -> None:
    assert facts.headline(example_report()) == (
        "1.78x as fast as onnx_fp32, 31 % of its size, accuracy drop 0.07 pt (-0.21 pt to 0.35 pt)."
    )
    assert facts.headline(example_report(accuracy_drop=None)).endswith("31 % of its size.")


def test_a_percentile_that_is_not_given_is_a_word_with_its_reason() -> None:
    report = example_report()
    latency = report.final.latency_ms
    assert facts.percentile(latency, "p999") == "not given"
    without = latency.model_copy(update={"p95": None, "reasons": {"p95": P999_REASON}})
    shown = facts.figures(example_report(final=report.final.model_copy(update={"latency_ms": without})))
    assert facts.Figure("Latency p95", "not given", P999_REASON) in shown


def test_what_was_not_scored_has_no_figure() -> None:
    final = example_report().final.model_copy(update={"accuracy": None, "fidelity": None})
    baseline = example_report().baseline.model_copy(update={"accuracy": None})
    report = example_report(final=final, baseline=baseline, accuracy_drop=None)
    assert [one.label for one in facts.figures(report)] == [
        "Speedup", "Latency p50", "Latency p95", "Size", "Throughput", "Peak memory",
    ]  # fmt: skip
    assert facts.metric_name(report) == "metric"


def test_a_metric_of_the_user_is_named_by_its_function_and_is_no_percentage() -> None:
    accuracy = Accuracy(metric="./minilm.py:neighbours", value=0.9871, n=200, ci95=(0.97, 0.99))
    report = example_report(final=example_report().final.model_copy(update={"accuracy": accuracy}))
    assert facts.metric_name(report) == "neighbours"
    assert facts.score(accuracy) == "0.9871"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.79, "0.790"),
        (12.345, "12.3"),
        (99.96, "100"),
        (1229.4, "1,229"),
        (-0.21, "-0.210"),
        (2e-7, "2.00e-07"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert facts.number(value) == text


@pytest.mark.parametrize(
    ("bytes_", "text"),
    [(0, "0 B"), (999, "999 B"), (134_208, "134 kB"), (17_100_000, "17.1 MB"), (2_400_000_000, "2.40 GB")],
)
def test_sizes_are_decimal(bytes_: int, text: str) -> None:
    assert facts.size(bytes_) == text


def test_the_commands_quote_the_name() -> None:
    commands = facts.reproduce(example_report(name="a b; rm -rf x"))
    assert commands[1] == "mlopt verify 'artifacts/a b; rm -rf x'"


@given(st.text())
def test_plain_text_is_one_line_without_control_characters(text: str) -> None:
    clean = facts.plain(text)
    assert "\n" not in clean
    assert all(character.isprintable() or character.isspace() for character in clean)
    assert facts.plain(clean) == clean
    assert len(facts.shorten(text, 9)) <= 9
