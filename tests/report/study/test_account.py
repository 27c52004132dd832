"""What a study came to, in words: no gain is claimed that its interval does not hold."""

from __future__ import annotations

from typing import Any

import pytest
from study_example import example_study, example_trials, raced

from mlopt.report import study
from mlopt.report.study import account
from mlopt.results.study import Ended


def test_the_lines_of_the_terminal() -> None:
    best = "Trial 19 (quantize off; runtime openvino; session precision bf16)"
    assert study.told(example_study()) == [
        f"{best} is 2.03x (1.99x to 2.07x) as fast as the recipe's own chain.",
        "best   trial 19: quantize off; runtime openvino; session precision bf16",
        "       2.19 ms, Accuracy 93.80 %, 90.4 MB, openvino",
        "front  9 trials that no other beats in latency, quality, size and memory",
        "trials 44 of a space of 272 points: 37 measured (36 valid), 4 stopped, 3 failed",
        "ended  after 19.8 min of 20.0 min, as its time was spent",
    ]


@pytest.mark.parametrize(
    ("changes", "said", "role"),
    [
        ({"final_ci95": (0.98, 1.04)}, "its speed cannot be told from that of the recipe's own chain", "quiet"),
        ({"final_speedup": 0.9, "final_ci95": (0.88, 0.92)}, "is 0.90x (0.88x to 0.92x) as fast", "bad"),
        ({"final_speedup": None, "final_ci95": None}, "it was not measured against the recipe's own chain", "quiet"),
        ({"final_ci95": None}, "is 2.03x as fast", "quiet"),
        ({"best": None, "final_speedup": None, "final_ci95": None}, "there is nothing to ship", "bad"),
        ({"best": 0}, "Nothing that was tried beats the recipe as it stands.", "good"),
    ],
)
def test_a_gain_is_claimed_only_where_there_is_one(changes: dict[str, Any], said: str, role: str) -> None:
    found = example_study(**changes)
    assert said in account.headline(found)
    assert account.role(found) == role


def test_each_figure_stands_beside_that_of_the_recipe() -> None:
    found = {one.label: (one.value, one.detail) for one in account.top(example_study())}
    assert found["Latency"] == ("2.19 ms", "the recipe's own 4.42 ms")
    assert found["Size"] == ("90.4 MB", "the recipe's own 23.2 MB")
    alone = account.top(example_study(trials=example_trials()[1:]))
    assert all("own" not in one.detail for one in alone)
    assert [one.value for one in account.top(example_study(best=None))] == ["nothing valid"]


@pytest.mark.parametrize(
    ("count", "said"), [(0, "no front"), (1, "One valid trial"), (2, "2 valid trials are beaten by none")]
)
def test_the_front_in_a_sentence(count: int, said: str) -> None:
    assert said in account.front_sentence(example_study(front=tuple(range(count))))


def test_how_it_ended_and_was_gone_on_with() -> None:
    ended = Ended(why="exhausted", seconds=90.0, resumed=2)
    found = account.ended(example_study(ended=ended, budget_s=None))
    assert found == "after 90.0 s, as every point of the space was tried, gone on with 2 times"
    assert set(account.WHY) == {"budget", "converged", "exhausted", "trials", "interrupted"}


def test_machines_are_named_where_there_are_several() -> None:
    assert "Machines" not in dict(account.sheet(example_study()))
    trials = tuple(raced(number, node=f"node-{number % 2}", latency_ms=1.0) for number in range(4))
    assert dict(account.sheet(example_study(trials=trials)))["Machines"] == "node-0 2, node-1 2"
