"""Every name that a gate may use, with what helps, and a hint for names that there are not."""

from __future__ import annotations

import pytest

from mlopt.gate.vocabulary import METRICS, did_you_mean


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_helps(name: str) -> None:
    metric = METRICS[name]
    assert metric.when_broken
    assert metric.when_undecided or not metric.of_speed, "what more measuring can decide says so"


def test_ratios_and_drops_are_what_compares() -> None:
    assert {name for name, metric in METRICS.items() if metric.takes_vs} == {
        "speedup.median", "size.ratio", "peak_rss.ratio", "accuracy.drop_pt",
    }  # fmt: skip


def test_a_name_that_is_near_is_the_hint_and_else_all_are() -> None:
    assert did_you_mean("speedup.medain", METRICS) == "did you mean 'speedup.median'?"
    assert did_you_mean("bananas", ("a", "b")) == "choose one of a, b"
