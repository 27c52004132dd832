"""The three numbers that stand first."""

from __future__ import annotations

from report_example import example_report

from mlopt.report import top


def test_speedup_drop_and_size_each_with_what_qualifies_it() -> None:
    speedup, drop, size = top.numbers(example_report())
    assert (speedup.value, speedup.detail) == ("1.78x", "1.71x to 1.86x, against onnx_fp32")
    assert (drop.value, drop.detail) == ("0.07 pt", "-0.21 pt to 0.35 pt, against onnx_fp32")
    assert (size.value, size.detail) == ("134 kB", "31 % of the 436 kB of onnx_fp32")
    assert top.role(example_report()) == "good"


def test_what_could_be_noise_says_so() -> None:
    slight = example_report().speedup.model_copy(update={"median": 1.01, "ci95": (0.98, 1.04)})
    report = example_report(speedup=slight)
    assert top.numbers(report)[0].detail.endswith("could be noise")
    assert top.role(report) == "warn"


def test_without_a_metric_fidelity_stands_for_quality() -> None:
    assert top.numbers(example_report(accuracy_drop=None))[1].label == "Cosine to the source"
