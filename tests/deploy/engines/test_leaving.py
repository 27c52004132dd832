"""Leaving in order, on real servers: of 500 requests over kept connections none is lost.

Two replicas, each request with values of its own, and the answer held against them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import deployed
import pytest
from balanced import REQUESTS, Balancer, Form
from engine_runs import SERVERS, Asked, ServedBy, served

pytestmark = pytest.mark.slow


@contextmanager
def two_replicas(server: str, folder: Path, *more: str) -> Iterator[tuple[ServedBy, ServedBy, Form]]:
    """Give the one that is to leave, the one that stays, and how both are asked.

    An inference takes some 60 ms or more, for two rows at most, so that many requests are under way at any time.
    """
    artifact = deployed.artifact(
        folder / "slow", partial(deployed.slow, iterations=60_000), batch_size=2, threads=2,
        final={"throughput_per_s": 50.0},
    )  # fmt: skip
    asked = Asked([artifact], max_batch=2, more=more)
    with served(server, folder / "leaves", asked) as leaves, served(server, folder / "stays", asked) as stays:
        yield leaves, stays, Form(leaves.path("slow"), listed=server == "bentoml")


@pytest.mark.parametrize("server", SERVERS)
def test_in_the_order_of_the_manifests_no_request_is_lost(server: str, tmp_path: Path) -> None:
    """Traffic goes elsewhere, then SIGTERM comes with requests under way: each is answered, and none asks twice."""
    with two_replicas(server, tmp_path) as (leaves, stays, form):
        balancer = Balancer(form, leaves.port, stays.port)
        balancer.wait_for(200)
        balancer.remove(leaves.port)
        time.sleep(0.1)  # the manifests give 5 s: what was sent a moment ago arrives
        under_way = balancer.in_flight(leaves.port)
        leaves.process.terminate()
        found = balancer.join()
        ended = leaves.process.wait(60)
    assert under_way > 0
    assert set(found) == {f"answered by {leaves.port}", f"answered by {stays.port}"}
    assert found.total() == REQUESTS
    assert not balancer.refused.total()
    assert ended == 0


@pytest.mark.parametrize("server", [each for each in SERVERS if each != "bentoml"])
def test_sigterm_without_a_warning_loses_no_request_over_kept_connections(server: str, tmp_path: Path) -> None:
    """What the one that leaves does not take (503, or connection refused) the other one answers."""
    with two_replicas(server, tmp_path) as (leaves, stays, form):
        balancer = Balancer(form, leaves.port, stays.port)
        balancer.wait_for(200)
        leaves.process.terminate()
        found = balancer.join()
        ended = leaves.process.wait(60)
    assert set(found) <= {f"answered by {leaves.port}", f"answered by {stays.port}"}
    assert found.total() == REQUESTS
    assert ended == 0
    # Triton goes on answering on connections that it has; the others turn those who ask away.
    assert (found[f"answered by {stays.port}"] == 0) == (server == "triton")


def test_whoever_watches_readiness_is_not_turned_away(tmp_path: Path) -> None:
    """The embedded server takes requests for as long as --drain-delay says after readiness went."""
    with two_replicas("embedded", tmp_path, "--drain-delay", "3") as (leaves, stays, form):
        balancer = Balancer(form, leaves.port, stays.port)
        balancer.wait_for(200)
        leaves.process.terminate()
        until = time.monotonic() + 3
        while deployed.status(leaves.port, "/v2/health/ready") != 503:
            assert time.monotonic() < until, "readiness did not go"
            time.sleep(0.05)
        balancer.remove(leaves.port)
        found = balancer.join()
        assert leaves.process.wait(60) == 0
    assert set(found) == {f"answered by {leaves.port}", f"answered by {stays.port}"}
    assert found.total() == REQUESTS
    assert not balancer.refused.total()
