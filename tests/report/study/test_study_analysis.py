"""The front and what passes are worth: none on the front is beaten, all others are, whatever the order."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from study_example import example_study, example_trials, raced

from mlopt.report.study.analysis import front, is_candidate, judged_by, quality, worth
from mlopt.results.study import TrialRecord

FEW = st.sampled_from([1.0, 2.0, 3.0])
POINT = st.fixed_dictionaries(
    {
        "latency_ms": FEW | st.none() | st.floats(0.1, 9), "quality": FEW | st.none(),
        "size_bytes": st.sampled_from([1, 2, None]), "peak_rss_bytes": st.sampled_from([1, 2, None]),
        "valid": st.sampled_from([True, True, False, None]),
        "status": st.sampled_from(["measured", "measured", "stopped", "failed"]),
    }
)  # fmt: skip


def made(points: list[dict[str, Any]], kind: str) -> list[TrialRecord]:
    return [
        raced(number, **{key: value for key, value in one.items() if key != "quality"}, **{kind: one["quality"]})
        for number, one in enumerate(points)
    ]


def costs(one: TrialRecord, by: Any) -> tuple[float, ...]:
    good = quality(one, by)
    known = (one.latency_ms, None if good is None else -good, one.size_bytes, one.peak_rss_bytes)
    return tuple(math.inf if each is None else each for each in known)


def dominates(one: TrialRecord, other: TrialRecord, by: Any) -> bool:
    pairs = list(zip(costs(one, by), costs(other, by), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@given(st.lists(POINT, max_size=12), st.sampled_from(["accuracy", "fidelity"]))
def test_none_on_the_front_is_beaten_and_all_others_are_or_are_not_valid(
    points: list[dict[str, Any]], kind: str
) -> None:
    trials = made(points, kind)
    found, valid = front(trials), [one for one in trials if is_candidate(one)]
    by = judged_by(valid)
    for one in trials:
        beaten = any(dominates(other, one, by) for other in valid)
        assert (one.number in found) == (is_candidate(one) and not beaten)


@given(st.lists(POINT, max_size=10), st.randoms(use_true_random=False))
def test_the_order_of_trials_changes_nothing(points: list[dict[str, Any]], random: Any) -> None:
    trials = made(points, "accuracy")
    other = list(trials)
    random.shuffle(other)
    assert front(other) == front(trials)
    assert worth(other, 0) == worth(trials, 0)


def test_equal_trials_are_all_on_the_front_and_the_fastest_comes_first() -> None:
    trials = [raced(0, latency_ms=2.0, accuracy=0.9), raced(1, latency_ms=1.0, accuracy=0.8)]
    assert front([*trials, raced(2, latency_ms=1.0, accuracy=0.8)]) == (1, 2, 0)


def test_what_is_not_known_beats_nothing() -> None:
    known, unknown = raced(0, latency_ms=1.0, size_bytes=5), raced(1, latency_ms=1.0, size_bytes=None)
    assert front([known, unknown]) == (0,)


def test_the_metric_counts_where_any_trial_has_it() -> None:
    scored, faithful = raced(0, latency_ms=1.0, accuracy=0.9), raced(1, latency_ms=1.0, fidelity=1.0)
    assert front([scored, faithful]) == (0,)


STEPS = {"passes.fuse": True, "passes.quantize": True, "passes.quantize.mode": "static", "runtime": "x"}


def without(step: str, **more: Any) -> dict[str, Any]:
    kept = {key: value for key, value in STEPS.items() if not key.startswith(f"{step}.")}
    return kept | {step: False} | more


def test_a_pass_is_worth_what_the_best_trial_alike_but_for_it_lacks() -> None:
    trials = [
        raced(0, params=STEPS, latency_ms=1.0, speedup=4.0),
        raced(1, params=without("passes.fuse"), latency_ms=1.5, speedup=2.0),
        raced(2, params=without("passes.fuse"), latency_ms=1.2, speedup=3.2),
        raced(3, params=without("passes.fuse", runtime="y"), latency_ms=1.1, speedup=3.6),
        raced(4, params=without("passes.fuse"), latency_ms=0.5, speedup=8.0, valid=False),
    ]
    fuse, quantize = worth(trials, 0)
    assert (fuse.step, fuse.without, fuse.speedup) == ("fuse", 2, 1.2), "by latency"
    assert (quantize.step, quantize.without, quantize.speedup) == ("quantize", None, None)


def test_the_settings_of_a_step_that_is_gone_do_not_count() -> None:
    trials = [
        raced(0, params=STEPS, latency_ms=None, speedup=6.0),
        raced(1, params=without("passes.quantize"), latency_ms=3.0, speedup=2.0),
    ]
    assert worth(trials, 0)[1].speedup == 3.0, "without latencies, by the speedups"


def test_without_a_best_nothing_is_worth_anything() -> None:
    assert worth(example_trials(), None) == ()
    assert worth(example_trials(), 999) == ()


def test_the_example_has_a_front_with_the_best_at_its_head() -> None:
    study = example_study()
    assert study.front[0] == study.best
    assert {one.step for one in study.worth} == {"fuse", "simplify"}
