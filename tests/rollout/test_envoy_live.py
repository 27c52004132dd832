"""A rollout through a real Envoy: shares, mirrors, failures and changes under load, none of which loses a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import live_envoy
import numpy as np
import pytest
from live_envoy import Live, load, meanwhile, share_of
from rollout_world import A, a_book, artifact, root_of

from mlopt.core.errors import IntegrityError
from mlopt.rollout import steps
from mlopt.rollout.analysis import Watching, analyze
from mlopt.rollout.binomial import share_interval
from mlopt.rollout.comparison import CanaryLimits
from mlopt.rollout.probe import AnswerProbe
from mlopt.rollout.steps import StartRequest
from mlopt.rollout.traffic import TrafficSplit

pytestmark = [pytest.mark.slow, live_envoy.needed]

Opening = Callable[..., AbstractContextManager[Live]]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A candidate of this test's own key."""
    return artifact(tmp_path, 2)


@pytest.fixture
def opened(tmp_path: Path, own: Path) -> Opening:
    digests = {"stable": A, "canary": root_of(own)}
    return partial(live_envoy.live, tmp_path, digests)


def test_shares_are_what_was_asked_for_and_each_answer_says_whose_it_is(opened: Opening, own: Path) -> None:
    with opened({"stable": 1, "canary": 1}) as live:
        live.target.shift(TrafficSplit({A: 90, root_of(own): 10}))
        answers = asyncio.run(load(live.url, 600, 150))
    assert answers.failed == 0
    hits, n = share_of(root_of(own), answers.digests)
    low, high = share_interval(hits, n, 1e-4)
    assert low <= 0.1 <= high
    assert set(answers.digests) == {A, root_of(own)}


def test_a_hung_shadow_does_not_move_the_primary(opened: Opening, own: Path) -> None:
    with opened({"stable": 1, "canary": 1}, timeout_s=3.0) as live:
        live.mode("canary", "hang")
        alone = asyncio.run(load(live.url, 400, 80))
        live.target.shift(TrafficSplit({A: 100}, {root_of(own): 100}))
        beside = asyncio.run(load(live.url, 400, 80))
    assert (alone.failed, beside.failed) == (0, 0)
    assert set(beside.digests) == {A}
    assert beside.quantile(0.99) < alone.quantile(0.99) + 0.5, "nothing waits for it, which would take three seconds"


def test_a_backend_that_is_killed_loses_nothing(opened: Opening) -> None:
    with opened({"stable": 2, "canary": 1}) as live:

        def kill() -> None:
            time.sleep(1.0)
            live.kill("stable", 0)

        answers, _ = asyncio.run(meanwhile(live.url, 5, 60, kill))
    assert (len(answers.statuses), answers.failed) == (300, 0)


def test_twenty_times_there_and_back_under_load_lose_nothing(opened: Opening, own: Path, tmp_path: Path) -> None:
    book = a_book(tmp_path)
    with opened({"stable": 1, "canary": 1}) as live:

        def roll() -> None:
            for _ in range(20):
                steps.start(live.target, book, StartRequest(own, None, share=10))
                steps.promote(live.target, book, "")
                steps.rollback(live.target, book, "")

        answers, _ = asyncio.run(meanwhile(live.url, 60, 60, roll, whole=False))
    assert answers.failed == 0
    assert len(answers.statuses) > 100
    assert set(answers.digests) == {A, root_of(own)}
    done = [each.step for each in book.records(live.target) if each.phase == "done"]
    assert done == ["start", "promote", "rollback"] * 20


@pytest.mark.parametrize("fault", ["fail", "slow", "lie", "die"])
def test_a_bad_candidate_is_rolled_back_within_a_minute(fault: str, opened: Opening, own: Path, tmp_path: Path) -> None:
    """40 requests a second, half of them to the candidate."""
    book = a_book(tmp_path)
    with opened({"stable": 1, "canary": 1}) as live:
        live.mode("canary", fault)
        steps.start(live.target, book, StartRequest(own, None, share=50))
        if fault == "die":
            live.kill("canary", 0)
        rows = {"image": np.arange(40, dtype=np.float32).reshape(20, 2)}
        watching = Watching(60, 3, act=True, probe=AnswerProbe(rows, per_look=15))
        work = partial(analyze, live.target, book, CanaryLimits(), watching)

        answers, found = asyncio.run(meanwhile(live.url, 60, 40, work, whole=False))
        after = asyncio.run(load(live.url, 100, 50))
    assert found.verdict == "fail", found.findings
    assert len(answers.statuses) < 2400
    assert found.seconds < 60
    assert (after.failed, set(after.digests)) == (0, {A})


def test_an_artifact_that_nothing_serves_changes_nothing(opened: Opening, tmp_path: Path) -> None:
    with opened({"stable": 1, "canary": 1}) as live:
        with pytest.raises(IntegrityError, match="no cluster of the proxy serves"):
            steps.start(live.target, a_book(tmp_path), StartRequest(artifact(tmp_path / "other", 3), None))
        answers = asyncio.run(load(live.url, 50, 50))
    assert (answers.failed, set(answers.digests)) == (0, {A})


def test_what_is_too_much_is_refused_at_once(opened: Opening) -> None:
    """A full queue answers 503 in an instant instead of piling up."""
    with opened({"stable": 1, "canary": 1}, max_connections=2, max_pending=2, retries=0) as live:
        live.mode("stable", "slow")
        answers = asyncio.run(load(live.url, 100, 200))
    refused = [seconds for status, seconds in zip(answers.statuses, answers.seconds, strict=True) if status == 503]
    assert set(answers.statuses) == {200, 503}
    assert len(refused) > 50
    assert sorted(refused)[len(refused) // 2] < 0.08, "faster than one answer takes"
