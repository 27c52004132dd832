"""How long a phase should take: as before, in proportion, or a guess that says so; never less than nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.passes.table import table
from mlopt.recipe.schema import Measure, Step
from mlopt.run.estimate import Guess, estimate
from mlopt.run.ledger import Spent, Workload

SMALL, LARGE = Workload(1e6, 100), Workload(1e7, 100)
SIZES = st.builds(Workload, st.floats(0, 1e13), st.integers(0, 10**7))
RUNS = st.lists(st.builds(
    Spent, st.sampled_from(["a", "b"]), SIZES, st.dictionaries(st.sampled_from(["data", "x"]), st.floats(0, 1e6))
), max_size=8)  # fmt: skip


@given(SIZES | st.none(), RUNS, st.floats(0, 1e6))
def test_an_estimate_is_a_time(size: Workload | None, runs: list[Spent], guess: float) -> None:
    found = estimate("data", "a", size, runs, guess)
    assert 0 <= found.seconds < math.inf
    guessed = not any("data" in run.seconds for run in runs)
    assert found.basis.startswith("no earlier run: a guess") == guessed
    assert found.seconds == guess or not guessed


def test_the_recipe_s_own_runs_come_first() -> None:
    runs = [Spent("a", SMALL, {"measure": 10.0}), Spent("b", SMALL, {"measure": 99.0})]
    found = estimate("measure", "a", SMALL, runs, 1.0)
    assert (found.seconds, found.basis) == (10.0, "by the last run of this recipe")


def test_what_another_model_took_is_scaled_but_for_the_starts() -> None:
    runs = [Spent("b", SMALL, {"data": 2.7})]
    found = estimate("data", "a", LARGE, runs, 1.0)
    assert found.seconds == pytest.approx(0.7 + 2.0 * 10)
    assert "scaled" in found.basis
    assert estimate("data", "a", None, runs, 1.0).seconds == 2.7


@given(SIZES, st.integers(1, 64), st.floats(0.01, 10), st.integers(7, 30))
def test_a_guess_is_a_time_and_grows_with_the_work(size: Workload, threads: int, seconds: float, rounds: int) -> None:
    guess = Guess(size, threads, Measure(seconds=seconds, rounds=rounds))
    twice = Guess(Workload(2 * size.macs, 2 * size.samples), threads, Measure(seconds=seconds, rounds=rounds))
    for name in ("simplify", "quantize"):
        step = Step(name=name, config=table()[name].config())
        assert 0 < guess.step(step, trains=False) <= guess.step(step, trains=True) <= twice.step(step, trains=True)
    for one, other in ((guess, twice),):
        assert 0 < one.reading() <= other.reading()
        assert 0 < one.trial() <= other.trial()
    assert guess.comparison(3, seconds) < guess.comparison(4, seconds)


def test_a_search_is_not_expected_to_take_longer_than_it_may() -> None:
    config = table()["quantize"].config(seconds=2.0)
    guess = Guess(SMALL, 1, Measure())
    limited = guess.step(Step(name="quantize", config=config), trains=False)
    assert limited <= guess.step(Step(name="simplify", config=table()["simplify"].config()), trains=False) + 2.0
