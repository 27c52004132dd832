"""The verb ``rollout analyze``: its exit codes, and what it does only when it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rollout_world import TOKEN, A, AdminServer, B, metrics_text, serving
from simulated_traffic import EDGES

from mlopt.cli.app import run
from mlopt.rollout.credential import ADMIN_TOKEN
from mlopt.rollout.observed import Observed
from mlopt.rollout.traffic import HeldVersion

QUICK = (0,) * 30 + (1,) + (0,) * (len(EDGES) - 30)


def counted(requests: int, errors: int = 0) -> Observed:
    return Observed(requests, errors, EDGES, tuple(requests * each for each in QUICK))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AdminServer]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ADMIN_TOKEN, TOKEN)
    versions = {A: HeldVersion(A, "ready", 90, 0, 1), B: HeldVersion(B, "ready", 10, 0, 2)}
    with serving("digits", versions) as found:
        found.metrics = metrics_text("digits", {A: counted(10), B: counted(10)})
        yield found


@contextmanager
def soon(server: AdminServer, stable: Observed, candidate: Observed) -> Iterator[None]:
    """Let the counters be these after a moment."""
    timer = threading.Timer(0.3, lambda: setattr(server, "metrics", metrics_text("digits", {A: stable, B: candidate})))
    timer.start()
    yield
    timer.join()


def analyzing(server: AdminServer, *more: str) -> int:
    words = ["--at", server.url, "--model", "digits", "--for", "1s", "--every", "1s"]
    return run(["rollout", "analyze", *words, *more])


def test_a_bad_one_exits_with_1_and_stays_until_it_is_told(
    server: AdminServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with soon(server, counted(5000), counted(1000, 300)):
        assert analyzing(server) == 1
    out = capsys.readouterr().out
    assert "verdict    fail" in out
    assert "mlopt rollout rollback" in out
    assert "no answers were compared" in out
    assert server.versions[B].weight == 10


def test_a_bad_one_is_rolled_back_with_act(server: AdminServer, capsys: pytest.CaptureFixture[str]) -> None:
    with soon(server, counted(5000), counted(1000, 300)):
        assert analyzing(server, "--act", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["acted"]) == ("fail", "rollback")
    assert (server.versions[A].weight, server.versions[B].weight) == (100, 0)


def test_a_good_one_exits_with_0_and_is_promoted_with_act(server: AdminServer) -> None:
    with soon(server, counted(100_000), counted(20_000)):
        assert analyzing(server, "--act") == 0
    assert server.versions[B].weight == 100


def test_too_little_exits_with_3(server: AdminServer, capsys: pytest.CaptureFixture[str]) -> None:
    with soon(server, counted(100), counted(20)):
        assert analyzing(server, "--act", "--json") == 3
    assert json.loads(capsys.readouterr().out)["verdict"] == "inconclusive"
    assert server.versions[B].weight == 10


def test_a_time_that_is_none_is_a_usage_error(server: AdminServer) -> None:
    assert analyzing(server, "--for", "soon") == 2
