"""How much settings matter: what was planted is found, what does nothing is near zero, and few trials tell nothing."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_example import SPACE, example_trials, raced

from mlopt.report.study.importance import LEAST_TRIALS, importance
from mlopt.results.study import SearchParameter, TrialRecord


def dimension(name: str, *values: Any, **when: tuple[Any, ...]) -> SearchParameter:
    return SearchParameter(name=name, values=values, default=values[0], when=when)


A, B, C = dimension("a", 0, 1), dimension("b", "x", "y", "z"), dimension("c", True, False)


def planted(count: int, seed: int, noise: float = 0.02) -> list[TrialRecord]:
    """``a`` doubles the latency, ``b`` adds up to a fifth, ``c`` does nothing."""
    random = Random(seed)
    trials = []
    for number in range(count):
        params = {one.name: random.choice(one.values) for one in (A, B, C)}
        log = math.log(2) * params["a"] + 0.1 * "xyz".index(params["b"]) + random.gauss(0, noise)
        trials.append(raced(number, params=params, latency_ms=math.exp(log)))
    return trials


@settings(max_examples=40, deadline=None)
@given(st.integers(12, 60), st.integers(0, 999))
def test_what_matters_is_found_and_what_does_not_is_near_zero(count: int, seed: int) -> None:
    found = importance(planted(count, seed), (A, B, C))
    assert sum(found.values()) <= 1
    if "c" in found:
        assert found["c"] < 0.12
    if {"a", "b"} <= found.keys() and count >= 20:
        assert next(iter(found)) == "a"
        assert found["a"] > 0.5


LATENCY = st.one_of(st.floats(1e-3, 1e3), st.sampled_from([1.0, 2.0]), st.none(), st.floats(-5, 0))
TRIALS = st.lists(
    st.tuples(LATENCY, st.dictionaries(st.sampled_from("abc"), st.sampled_from([0, 1, "x", True, [1]]), max_size=3)),
    max_size=24,
)


@settings(max_examples=60, deadline=None)
@given(TRIALS, st.randoms(use_true_random=False))
def test_shares_are_shares_and_the_order_of_trials_changes_nothing(
    points: list[tuple[float | None, dict[str, Any]]], random: Any
) -> None:
    trials = [raced(number, params=params, latency_ms=ms) for number, (ms, params) in enumerate(points)]
    found = importance(trials, (A, B, C))
    assert all(0 <= share <= 1 for share in found.values())
    assert sum(found.values()) <= 1 + 1e-9
    random.shuffle(trials)
    assert importance(trials, (A, B, C)) == found


@pytest.mark.parametrize("seed", range(12))
def test_noise_alone_is_credited_to_hardly_anything(seed: int) -> None:
    random = Random(seed)
    trials = [one.model_copy(update={"latency_ms": math.exp(random.gauss(0, 1))}) for one in planted(30, seed)]
    assert sum(importance(trials, (A, B, C)).values()) < 0.45


def test_noise_alone_is_usually_credited_to_nothing() -> None:
    sums = []
    for seed in range(40):
        random = Random(seed)
        trials = [one.model_copy(update={"latency_ms": math.exp(random.gauss(0, 1))}) for one in planted(30, seed)]
        sums.append(sum(importance(trials, (A, B, C)).values()))
    assert sum(one < 0.1 for one in sums) >= 30
    assert sum(sums) / len(sums) < 0.08


def test_few_trials_tell_nothing() -> None:
    trials = planted(LEAST_TRIALS, 1)
    assert importance(trials[:-1], (A, B, C)) == {}
    assert importance(trials, (A, B, C)) != {}
    stopped = [one.model_copy(update={"status": "stopped"}) for one in trials[:3]]
    assert importance([*stopped, *trials[3:]], (A, B, C)) == {}


def test_what_was_not_varied_is_left_out() -> None:
    assert "d" not in importance(planted(20, 3), (A, B, C, dimension("d", 1, 2)))


def test_a_setting_of_a_step_is_not_credited_with_the_step() -> None:
    trials = []
    for number in range(24):
        params: dict[str, Any] = {"s": number % 2 == 0}
        if params["s"]:
            params["s.mode"] = ("x", "y")[number % 4 // 2]
        noise = 0.001 * (number * 7 % 5)
        trials.append(raced(number, params=params, latency_ms=math.exp(noise + (0.7 if params["s"] else 0.0))))
    found = importance(trials, (dimension("s", True, False), dimension("s.mode", "x", "y", s=(True,))))
    assert found["s"] > 0.95
    assert found["s.mode"] < 0.01


def test_equal_latencies_have_nothing_to_explain() -> None:
    trials = [one.model_copy(update={"latency_ms": 2.0}) for one in planted(20, 1)]
    assert set(importance(trials, (A, B, C)).values()) == {0.0}


def test_a_space_too_large_to_be_a_study_is_not_fitted() -> None:
    trials = [one.model_copy(update={"params": {"a": number}}) for number, one in enumerate(planted(70, 1))]
    assert importance(trials, (A,)) == {}, "more values than are told apart"
    wide = [dimension(f"p{number}", *range(60)) for number in range(10)]
    trials = [
        raced(number, params={one.name: number % 60 for one in wide}, latency_ms=1.0 + number) for number in range(120)
    ]
    assert set(importance(trials, wide).values()) == {0.0}


def test_the_example_is_mostly_about_the_runtime() -> None:
    found = importance(example_trials(), SPACE)
    assert list(found)[:2] == ["runtime", "session.threads"]
