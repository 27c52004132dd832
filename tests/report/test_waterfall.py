"""What each step did, in pictures: better is green, worse is red, noise is neither."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from report_example import example_report

from mlopt.report import waterfall
from mlopt.report.svg import Drawing


def texts(picture: Drawing | None) -> list[str]:
    assert picture is not None
    root = ET.fromstring(picture.svg)
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_latency_of_every_stage_is_told() -> None:
    words = texts(waterfall.latency_steps(example_report()))
    assert words.count("quantize") == 2
    assert {"2.87 ms", "1.40 ms", "0.840 ms", "0.794 ms", "dropped", "refused", "failed"} <= set(words)
    assert "2.31 ms" not in words, "what was dropped did not happen"


def test_better_is_green_worse_is_red_and_noise_is_neither() -> None:
    report = example_report()
    export, simplify, *_ = report.steps
    assert export.latency_ms is not None
    slow = export.latency_ms.model_copy(update={"p50": 9.0, "ci95": {"p50": (8.9, 9.1)}})
    worse = example_report(steps=(simplify.model_copy(update={"latency_ms": slow}),))
    faster = example_report(steps=(export,))
    same = example_report(steps=(export, simplify), references={"onnx_fp32": report.baseline})
    assert "var(--bad" in waterfall.latency_steps(worse).svg
    assert "var(--good" not in waterfall.latency_steps(worse).svg
    assert "var(--good" in waterfall.latency_steps(faster).svg
    assert "var(--good" not in waterfall.latency_steps(same).svg
    assert "var(--bad" not in waterfall.latency_steps(same).svg


def test_characters_that_no_font_here_has_are_left_to_the_browser() -> None:
    report = example_report(steps=(example_report().steps[0].model_copy(update={"name": "量化 $x^2$ \x1b"}),))
    assert "量化 $x^2$ \ufffd" in texts(waterfall.latency_steps(report))


def test_without_a_score_there_is_no_picture_of_the_metric() -> None:
    report = example_report()
    bare = report.baseline.model_copy(update={"accuracy": None})
    unscored = example_report(
        steps=(),
        baseline=bare,
        references={"onnx_fp32": bare},
        final=report.final.model_copy(update={"accuracy": None}),
    )
    assert waterfall.accuracy_steps(unscored) is None
    assert "step by step" in (waterfall.accuracy_steps(report) or waterfall.size_steps(unscored)).title


def test_the_work_of_every_stage_is_told_and_what_was_not_counted_is_not_made_up() -> None:
    picture = waterfall.macs_steps(example_report())
    words = texts(picture)
    assert picture is not None
    assert picture.title == "MACs, step by step"
    assert words.count("1.19 M") == 6
    assert words.count("unknown") == 1, "fuse wrote what cannot be counted"
    assert "of one sample" in picture.caption


def test_the_work_is_that_of_the_batch_that_was_measured() -> None:
    report = example_report()
    batched = example_report(final=report.final.model_copy(update={"batch_size": 8}))
    picture = waterfall.macs_steps(batched)
    assert picture is not None
    assert picture.title == "MACs of 8 samples, step by step"


def test_where_nothing_was_counted_there_is_no_picture_of_it() -> None:
    report = example_report(steps=())
    bare = {name: one.model_copy(update={"macs": None}) for name, one in report.references.items()}
    final = report.final.model_copy(update={"macs": None})
    assert waterfall.macs_steps(example_report(steps=(), references=bare, final=final)) is None


def test_a_run_without_steps_is_told_model_by_model() -> None:
    assert waterfall.size_steps(example_report(steps=())).title == "Size, model by model"
