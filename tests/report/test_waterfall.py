"""What each step did, as bars: better is green, worse is red, noise is neither; what dwarfs the rest is torn."""

from __future__ import annotations

import pytest
from report_example import example_report

from mlopt.report import waterfall
from mlopt.results.report import Report


def told(report: Report, title: str) -> list[str]:
    return [bar.text for column in waterfall.columns(report) if column.title == title for bar in column.bars]


def roles(report: Report) -> set[str]:
    return {bar.role for bar in waterfall.columns(report)[0].bars}


def test_every_stage_has_a_bar_in_every_column() -> None:
    report = example_report()
    assert told(report, "Latency p50")[:2] == ["2.87 ms", "1.41 ms"]
    assert told(report, "Latency p50")[-1] == "0.794 ms"
    assert all(len(bars) == len(waterfall.columns(report)) for _, bars in waterfall.stages(report))


def test_better_is_green_worse_is_red_and_noise_is_neither() -> None:
    report = example_report()
    export, simplify, *_ = report.steps
    assert export.latency_ms is not None
    slow = export.latency_ms.model_copy(update={"p50": 9.0, "ci95": {"p50": (8.9, 9.1)}})
    worse = example_report(steps=(simplify.model_copy(update={"latency_ms": slow}),))
    same = example_report(steps=(export, simplify), references={"onnx_fp32": report.baseline})
    assert "bad" in roles(worse)
    assert "good" not in roles(worse)
    assert "good" in roles(example_report(steps=(export,)))
    assert not {"good", "bad"} & roles(same)


def test_a_reference_that_dwarfs_the_rest_is_torn_and_the_others_keep_their_room() -> None:
    report = example_report()
    eager = report.references["torch_eager"]
    slow = eager.model_copy(update={"latency_ms": eager.latency_ms.model_copy(update={"p50": 900.0})})
    dwarfed = example_report(references={**report.references, "torch_eager": slow})
    first, second, *_ = waterfall.columns(dwarfed)[0].bars
    assert (first.torn, first.text, second.torn) == (True, "900 ms", False)
    assert second.end > 0.3
    assert waterfall.is_torn(dwarfed)
    assert not waterfall.is_torn(report)


def test_work_that_no_step_changed_has_no_column() -> None:
    report = example_report()
    assert [column.title for column in waterfall.columns(report)] == ["Latency p50", "Size", "Accuracy"]
    less = report.final.model_copy(update={"macs": 1000})
    assert told(example_report(final=less), "MACs")[-1] == "1.00 k"
    batched = example_report(final=less.model_copy(update={"batch_size": 8}))
    assert "MACs of 8 samples" in [column.title for column in waterfall.columns(batched)]


def test_without_a_score_there_is_no_column_of_the_metric() -> None:
    bare = example_report().baseline.model_copy(update={"accuracy": None})
    final = example_report().final.model_copy(update={"accuracy": None})
    unscored = example_report(steps=(), baseline=bare, references={"onnx_fp32": bare}, final=final)
    assert len(waterfall.columns(unscored)) == 2


@pytest.mark.parametrize("value", [0.0, 1e-9, 1.0, 1e12])
def test_every_share_is_on_its_axis(value: float) -> None:
    report = example_report()
    latency = report.final.latency_ms.model_copy(update={"p50": value})
    odd = example_report(final=report.final.model_copy(update={"latency_ms": latency, "size_bytes": 0}))
    for column in waterfall.columns(odd):
        for bar in column.bars:
            ends = [*(bar.rest or ()), *(bar.moved or ()), *(bar.span or ()), bar.dot or 0, bar.came_from or 0, bar.end]
            assert all(0 <= end <= 1 for end in ends)
