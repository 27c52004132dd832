"""What the intervals of metrics that give one number are worth: shown by simulation, with fixed seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlopt.core.errors import DataError
from mlopt.measure import resampling
from mlopt.measure.accuracy import Scores, drop, summary

Array = np.ndarray[Any, Any]
Metric = Callable[[Array, Array], Array]
"""Of answers and labels, both [runs, samples]: a number for each run."""
Draw = Callable[[np.random.Generator, tuple[int, int]], tuple[Array, Array, Array]]
"""Labels, the source's answers and the final model's, each [runs, samples]."""
RUNS = 300
CLASSES = 10


def f1_macro(answers: Array, labels: Array) -> Array:
    """Of the classes that occur."""
    runs = len(labels)
    cells = (np.arange(runs)[:, None] * CLASSES + labels) * CLASSES + answers
    table = np.bincount(cells.ravel(), minlength=runs * CLASSES**2).reshape(runs, CLASSES, CLASSES)
    hits, occurring = np.diagonal(table, axis1=1, axis2=2), table.sum(1) + table.sum(2)
    return np.divide(2 * hits, occurring, out=np.zeros(hits.shape), where=occurring > 0).sum(1) / (occurring > 0).sum(1)


def mean(answers: Array, _labels: Array) -> Array:
    return answers.mean(axis=1)


def classified(right: float, differing: float) -> Draw:
    """Two classifiers: the source, and one that answers anew, a little worse, on a share of the samples."""

    def draw(random: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array, Array]:
        labels = random.integers(CLASSES, size=shape)
        wrong = (labels + random.integers(1, CLASSES, size=(2, *shape))) % CLASSES
        source, other = (
            np.where(random.random(shape) < rate, labels, wrong[number])
            for number, rate in enumerate((right, right - 0.1))
        )
        return labels, source, np.where(random.random(shape) < differing, other, source)

    return draw


def overlaps(random: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Scores in 0 to 1 such as intersection over union: most are high, some are poor, a tenth changes."""
    source = random.beta(6, 1, size=shape)
    return np.zeros(shape), source, np.where(random.random(shape) < 0.1, source * random.random(shape), source)


def scored(metric: Metric, answers: Array, labels: Array) -> list[Scores]:
    """The scores of each run. The draws hang on the number of samples alone, so all runs are resampled at once."""
    n = labels.shape[1]
    found: Any = resampling.replicates(lambda rows: metric(answers[:, rows], labels[:, rows]), n)  # [replicates, runs]
    return [Scores("m", np.full(20, value), n, found[:, run]) for run, value in enumerate(metric(answers, labels))]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("metric", "draw", "n"),
    [(f1_macro, classified(0.9, 0.05), 300), (f1_macro, classified(0.9, 0.005), 150), (mean, overlaps, 150)],
    ids=["F1, 5 % differ", "F1, 0.5 % differ", "bounded scores"],
)
def test_intervals_hold_the_truth(metric: Metric, draw: Draw, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_SECONDS", 100.0)
    labels, source, final = draw(np.random.default_rng(1), (1, 1_000_000))
    value, lost = metric(final, labels)[0], metric(source, labels)[0] - metric(final, labels)[0]
    labels, source, final = draw(np.random.default_rng(2), (RUNS, n))
    old, new = scored(metric, source, labels), scored(metric, final, labels)
    values = [summary(one).ci95 for one in new]
    drops = [drop(*pair, "source").ci95 for pair in zip(old, new, strict=True)]
    assert np.mean([low <= value <= high for low, high in values]) >= 0.93
    assert np.mean([low <= 100 * lost <= high for low, high in drops]) >= 0.93


def test_a_pair_that_never_differs_is_not_known_for_certain() -> None:
    """Of 0 in 1000 that differ, the rule of three leaves 0.3 points open."""
    labels, source, _ = classified(0.9, 0.0)(np.random.default_rng(0), (1, 1000))
    (scores,) = scored(f1_macro, source, labels)
    found = drop(scores, scores, "source")
    assert (found.pt, found.n, found.disagreements, found.lost) == (0.0, 1000, 0, None)
    assert -0.6 < found.ci95[0] < -0.25
    assert 0.25 < found.ci95[1] < 0.6


def test_a_perfect_score_is_not_known_for_certain() -> None:
    labels = np.arange(100)[None] % CLASSES
    low, high = summary(scored(f1_macro, labels, labels)[0]).ci95
    assert 0.9 < low < 0.98
    assert high - 1.0 == pytest.approx(1.0 - low)


def test_both_models_meet_the_same_resamples() -> None:
    """Paired: what both get right cancels, so a drop is known better than either value."""
    labels, source, final = classified(0.7, 0.02)(np.random.default_rng(3), (1, 1000))
    old, new = (scored(f1_macro, answers, labels)[0] for answers in (source, final))
    low, high = drop(old, new, "source").ci95
    value_low, value_high = summary(new).ci95
    assert high - low < 100 * (value_high - value_low) / 2


@pytest.mark.parametrize(("seconds", "expected"), [(5.0, 1000), (0.5, 200), (0.1, None)])
def test_slow_metrics_get_fewer_resamples_or_none(
    seconds: float, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.001])  # one call takes a millisecond
    monkeypatch.setattr(resampling.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(resampling, "_SECONDS", seconds)
    found = resampling.replicates(lambda rows: float(rows.mean()), 30)
    assert (None if found is None else len(found)) == expected


def test_fewer_resamples_are_the_first_of_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the two models of a drop pair up even if one of them got fewer."""
    more = resampling.replicates(lambda rows: float(rows.mean()), 30)
    monkeypatch.setattr(resampling, "_REPLICATES", (200,))
    fewer = resampling.replicates(lambda rows: float(rows.mean()), 30)
    assert more is not None
    assert fewer is not None
    np.testing.assert_array_equal(more[:200], fewer)


def test_a_metric_that_cannot_do_without_a_class_has_no_resamples() -> None:
    def of(rows: Array) -> float:
        if 0 not in rows:
            raise DataError("class 0 is missing")
        return 1.0

    assert resampling.replicates(of, 20) is None
