"""Looking and acting: bad candidates are found within a minute of requests, equal ones are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rollout_world import A, B, MemoryTarget, a_book
from simulated_traffic import Behaviour, readings

from mlopt.core.errors import MeasureError, UserError
from mlopt.rollout import steps
from mlopt.rollout.analysis import Watching, analyze
from mlopt.rollout.comparison import CanaryLimits, judge, overall
from mlopt.rollout.observed import Observed, since

GOOD = Behaviour(errors=0.001)
FAULTS = {
    "5xx": Behaviour(errors=0.1), "slow": Behaviour(median_s=0.06), "wrong": Behaviour(different=0.2),
    "slow tail": Behaviour(spread=1.2),
}  # fmt: skip


@dataclass
class Time:
    """Time that only passes while somebody sleeps."""

    now: float = 0.0
    naps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.naps.append(seconds)

    def clock(self) -> float:
        return self.now


def watched(seconds: float = 60.0, **more: Any) -> tuple[Watching, Time]:
    time = Time()
    return Watching(seconds, 5.0, sleep=time.sleep, clock=time.clock, **more), time


def rolled(candidate: Behaviour, seed: int = 0, per_s: float = 30.0) -> MemoryTarget:
    target = MemoryTarget.holding(a=90, b=10)
    rates = {A: per_s * 9, B: per_s}
    target.readings = readings(np.random.default_rng(seed), {A: GOOD, B: candidate}, rates, mirrored={B: per_s / 2})
    return target


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_found_in_a_minute_and_rolled_back(fault: Behaviour, tmp_path: Path) -> None:
    target, book = rolled(fault), a_book(tmp_path)
    watching, time = watched(act=True)
    found = analyze(target, book, CanaryLimits(), watching)
    assert found.verdict == "fail"
    assert time.now <= 60
    assert target.weights == {"a": 100}
    assert [each.step for each in book.records(target) if each.phase == "done"] == ["analyze", "rollback"]
    assert "fail" in book.records(target)[-1].why


def test_without_act_nothing_changes(tmp_path: Path) -> None:
    target = rolled(FAULTS["5xx"])
    found = analyze(target, a_book(tmp_path), CanaryLimits(), watched()[0])
    assert (found.verdict, found.acted) == ("fail", None)
    assert target.weights == {"a": 90, "b": 10}


def test_a_good_one_passes_in_the_end_and_is_promoted(tmp_path: Path) -> None:
    target, book = rolled(GOOD, per_s=50), a_book(tmp_path)
    found = analyze(target, book, CanaryLimits(errors=0.02, different=0.02), watched(600, act=True)[0])
    assert found.verdict == "pass"
    assert target.weights == {"b": 100}


def test_a_held_one_is_not_promoted_but_a_bad_one_goes_back(tmp_path: Path) -> None:
    limits = CanaryLimits(errors=0.02, different=0.02)
    target, book = rolled(GOOD, per_s=50), a_book(tmp_path)
    steps.hold(target, book, "")
    found = analyze(target, book, limits, watched(600, act=True)[0])
    assert (found.verdict, found.held) == ("pass", True)
    assert target.weights == {"a": 90, "b": 10}
    target.readings = rolled(FAULTS["5xx"]).readings
    assert analyze(target, book, limits, watched(act=True)[0]).verdict == "fail"
    assert target.weights == {"a": 100}


def test_too_few_requests_wait(tmp_path: Path) -> None:
    target, book = rolled(GOOD, per_s=1.0), a_book(tmp_path)
    watching, time = watched(act=True)
    found = analyze(target, book, CanaryLimits(), watching)
    assert (found.verdict, found.looks, time.now) == ("inconclusive", 12, 60)
    assert target.weights == {"a": 90, "b": 10}


def test_looks_of_before_have_spent_their_part(tmp_path: Path) -> None:
    target, book = rolled(GOOD, per_s=1.0), a_book(tmp_path)
    assert analyze(target, book, CanaryLimits(), watched()[0]).spent == 0
    assert analyze(target, book, CanaryLimits(), watched()[0]).spent == 12
    assert analyze(target, book, CanaryLimits(), watched(30)[0]).spent == 24


def test_a_server_that_begins_anew_is_told_of(tmp_path: Path) -> None:
    target = MemoryTarget.holding(a=90, b=10)
    empty, some = Observed(), Observed(100)
    target.readings = iter([{A: some, B: some}, {A: Observed(200), B: empty}, {A: Observed(300), B: Observed(50)}])
    found = analyze(target, a_book(tmp_path), CanaryLimits(), watched(10)[0])
    assert found.restarts == 1
    assert next(each.n for each in found.findings if each.metric.startswith("errors")) == 50


def test_it_takes_two_and_some_time(tmp_path: Path) -> None:
    target = MemoryTarget.holding(a=100)
    with pytest.raises(UserError, match="no candidate"):
        analyze(target, a_book(tmp_path), CanaryLimits(), watched()[0])
    with pytest.raises(MeasureError, match="no time for a look"):
        analyze(rolled(GOOD), a_book(tmp_path), CanaryLimits(), watched(0.0)[0])


def verdict_of(source: Iterator[Any], looks: int) -> tuple[str, int]:
    """Return what an analysis of so many looks comes to, and at which look: its statistics, without a ledger."""
    last, windows = next(source), {A: [], B: []}  # type: ignore[var-annotated]
    for look in range(1, looks + 1):
        now = next(source)
        for digest, each in windows.items():
            each.append(since(last[digest], now[digest]))
        last = now
        verdict = overall(judge(windows[A], windows[B], CanaryLimits(), look))
        if verdict != "inconclusive":
            return verdict, look
    return "inconclusive", looks


EQUALS = {
    "without errors": (Behaviour(), 0.0), "with errors": (Behaviour(errors=0.02), 0.0),
    "that are slow together": (Behaviour(errors=0.002), 0.3),
    "of which each is slow at times": (Behaviour(errors=0.002, drift=0.2), 0.0),
    "with answers near the limit": (Behaviour(different=0.008), 0.0),
}  # fmt: skip


def failures(both: Behaviour, drift: float, candidates: int) -> int:
    """Two minutes each, looked at every 5 s, at 20 to 50 requests a second of which a tenth goes to the candidate."""
    failed = 0
    for seed in range(candidates):
        rng = np.random.default_rng(seed)
        per_s = float(rng.uniform(20, 50))
        source = readings(
            rng, {A: both, B: both}, {A: per_s * 0.9, B: per_s * 0.1}, mirrored={B: per_s * 0.2}, drift=drift
        )
        failed += verdict_of(source, 24)[0] == "fail"
    return failed


@pytest.mark.slow
@pytest.mark.parametrize(("both", "drift"), EQUALS.values(), ids=EQUALS.keys())
def test_of_200_equal_candidates_at_most_one_fails(both: Behaviour, drift: float) -> None:
    assert failures(both, drift, 200) <= 1


@pytest.mark.heavy
def test_of_20_equal_candidates_none_fails() -> None:
    assert failures(*EQUALS["that are slow together"], 20) == 0


@pytest.mark.heavy
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_of_100_bad_candidates_nearly_all_fail_within_a_minute_of_their_requests(fault: Behaviour) -> None:
    """At 20 requests a second to the candidate, the fewest that were promised; what serves gets nine times as many."""
    found = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        source = readings(rng, {A: GOOD, B: fault}, {A: 180.0, B: 20.0}, mirrored={B: 10.0})
        found += verdict_of(source, 12)[0] == "fail"
    assert found >= 98


def test_each_look_is_told_with_the_share_of_the_time(tmp_path: Path) -> None:
    told: list[tuple[str, str, float | None]] = []
    watching, _ = watched(15, notify=lambda *what: told.append(what))
    analyze(rolled(GOOD, per_s=1.0), a_book(tmp_path), CanaryLimits(), watching)
    assert told == [("compare", "look 1", 0.0), ("compare", "look 2", 5 / 15), ("compare", "look 3", 10 / 15)]
