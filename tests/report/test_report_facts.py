"""What a report claims, in words and figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_example import P999_REASON, example_report

from mlopt.report import control as noise
from mlopt.report import facts, outcome
from mlopt.results.figures import Accuracy, Speedup

NOISY = "Too noisy to tell, with {} as fast as onnx_fp32 ({}) where two copies of one model differed by up to {}"


def test_the_stages_are_references_then_steps_then_the_final_model() -> None:
    rows = facts.stages(example_report())
    assert [row.part for row in rows] == ["reference"] * 2 + ["step"] * 7 + ["final"]
    assert [row.label for row in rows if not row.kept] == ["fp16", "quantize", "acme.prune"]


@pytest.mark.parametrize(
    ("median", "ci95", "floor", "words", "side"),
    [
        (1.78, (1.71, 1.86), 0.03, "1.78x as fast as onnx_fp32 (1.71x to 1.86x)", 1),
        (8.26, (3.4, 11.8), 1.68, "8.26x as fast as onnx_fp32 (3.40x to 11.8x)", 1),
        (1.78, (1.02, 2.5), 0.80, NOISY.format("1.78x", "1.02x to 2.50x", "80 %"), 0),
        (1.78, (0.97, 2.5), 0.0, NOISY.format("1.78x", "0.97x to 2.50x", "0 %"), 0),
        (1.02, (0.7, 2.5), 0.9, NOISY.format("1.02x", "0.70x to 2.50x", "90 %"), 0),
        (1.02, (0.98, 1.07), 0.03, "No measurable difference in speed from onnx_fp32", 0),
        (0.97, (0.95, 0.99), 0.06, "No measurable difference in speed from onnx_fp32", 0),
        (0.8, (0.7, 0.9), 0.03, "0.80x as fast as onnx_fp32 (0.70x to 0.90x)", -1),
        (0.8, (0.7, 0.98), 0.30, NOISY.format("0.80x", "0.70x to 0.98x", "30 %"), 0),
        (0.8, (0.7, 1.1), 0.0, NOISY.format("0.80x", "0.70x to 1.10x", "0 %"), 0),
    ],
)
def test_a_difference_is_claimed_only_beyond_the_noise(
    median: float, ci95: tuple[float, float], floor: float, words: str, side: int
) -> None:
    speedup = Speedup(median=median, ci95=ci95, vs="onnx_fp32", noise_floor=floor)
    assert facts.speed_claim(speedup) == words
    assert noise.beyond_noise(speedup) == side


@pytest.mark.parametrize("control", [(1.001, 1.06), (0.944, 0.999)])
@pytest.mark.parametrize("ci95", [(1.04, 1.09), (0.9, 0.97)])
def test_no_small_difference_is_claimed_where_the_control_excludes_1(
    ci95: tuple[float, float], control: tuple[float, float]
) -> None:
    speedup = Speedup(median=ci95[0], ci95=ci95, vs="onnx_fp32", noise_floor=0.06, control=control)
    assert noise.distrusted(speedup)
    assert noise.beyond_noise(speedup) == 0
    assert facts.speed_claim(speedup) == "Speed against onnx_fp32 not decided by this run"


def test_a_large_difference_is_claimed_with_the_interval_that_the_control_leaves() -> None:
    speedup = Speedup(median=1.78, ci95=(1.71, 1.86), vs="onnx_fp32", noise_floor=0.05, control=(1.01, 1.05))
    assert noise.distrusted(speedup)
    assert noise.beyond_noise(speedup) == 1
    assert facts.speed_claim(speedup) == "1.78x as fast as onnx_fp32 (1.63x to 1.95x)"


def test_a_control_that_includes_1_does_not_loosen_the_rule() -> None:
    speedup = Speedup(median=1.05, ci95=(1.02, 1.08), vs="onnx_fp32", noise_floor=0.06, control=(0.96, 1.06))
    assert not noise.distrusted(speedup)
    assert noise.beyond_noise(speedup) == 0


def test_one_model_alone_is_told_once() -> None:
    final = example_report().final
    report = example_report(baseline=final, references={"final": final}, steps=())
    assert facts.models(report) == (final,)
    assert [stage.part for stage in facts.stages(report)] == ["final"]


def test_the_headline_says_what_was_won_and_what_it_cost() -> None:
    assert outcome.headline(example_report()) == (
        "1.78x as fast as onnx_fp32 (1.71x to 1.86x), 31 % of its size, accuracy drop 0.07 pt (-0.21 pt to 0.35 pt)."
    )
    assert outcome.headline(example_report(accuracy_drop=None)).endswith("31 % of its size.")


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


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("./minilm.py:neighbours", "neighbours"),
        ("torchmetrics.F1Score", "F1Score"),
        ("torchmetrics.classification.F1Score", "F1Score"),
    ],
)
def test_a_metric_of_code_is_named_by_its_last_part_and_is_no_percentage(metric: str, name: str) -> None:
    accuracy = Accuracy(metric=metric, value=0.9871, n=200, ci95=(0.97, 0.99))
    report = example_report(final=example_report().final.model_copy(update={"accuracy": accuracy}))
    assert facts.metric_name(report) == name
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


@given(st.text())
def test_plain_text_is_one_line_without_control_characters(text: str) -> None:
    clean = facts.plain(text)
    assert "\n" not in clean
    assert all(character.isprintable() or character.isspace() for character in clean)
    assert facts.plain(clean) == clean
    assert len(facts.shorten(text, 9)) <= 9


@pytest.mark.parametrize(
    ("value", "text"), [(1.651, "1.65x"), (9.999, "10.0x"), (12.34, "12.3x"), (934.98, "935x"), (1234.5, "1,234x")]
)
def test_a_ratio_has_the_digits_that_say_something(value: float, text: str) -> None:
    assert facts.ratio(value) == text


@given(st.floats(-1e-4, 0.0))
def test_what_rounds_to_zero_has_no_sign(value: float) -> None:
    found = (
        facts.points(value),
        facts.percent(value / 100, 2),
        facts.metric_value(value / 10, "loss"),
        facts.ratio(0.0),
    )
    assert not any(text.startswith("-") for text in found)
    assert facts.exact(-0.0) == facts.number(-0.0) == "0"
