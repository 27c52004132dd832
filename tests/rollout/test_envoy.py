"""Envoy as a target, against what its admin interface and the backends say; the real one is in ``test_envoy_live``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from rollout_world import A, B, C, listening

from mlopt.core.errors import IntegrityError, UserError
from mlopt.rollout.envoy import UNKNOWN, EnvoyTarget
from mlopt.rollout.traffic import TrafficSplit


class Proxy:
    """An admin interface, and backends that say which artifact they serve."""

    def __init__(self) -> None:
        self.runtime = {"mlopt.weight.stable": "100", "mlopt.weight.canary": "0"}
        self.hosts: dict[str, list[str]] = {}
        self.said: dict[str, Any] = {}
        self.posts: list[str] = []
        self.stats = ""

    def admin(self, method: str, path: str, token: str | None, body: bytes) -> tuple[int, Any]:
        place = urlsplit(path)
        if place.path == "/runtime_modify":
            assert method == "POST"
            self.posts.append(place.query)
            self.runtime.update(parse_qsl(place.query))
            return 200, "OK\n"
        if place.path == "/runtime":
            return 200, {"layers": ["start", "admin"],
                         "entries": {key: {"final_value": value} for key, value in self.runtime.items()}}  # fmt: skip
        if place.path == "/clusters":
            return 200, {"cluster_statuses": [self._status(name, hosts) for name, hosts in self.hosts.items()]}
        return 200, self.stats

    @staticmethod
    def _status(name: str, hosts: list[str]) -> dict[str, Any]:
        places = [each.split(":") for each in hosts]
        return {
            "name": name,
            "host_statuses": [
                {"address": {"socket_address": {"address": host, "port_value": int(port)}}} for host, port in places
            ],
        }


@pytest.fixture
def proxy() -> Iterator[tuple[Proxy, EnvoyTarget]]:
    found = Proxy()
    with ExitStack() as stack:
        for name, digest, count in (("stable", A, 2), ("canary", B, 1)):
            found.said[name] = {"digest": digest, "version": "2"}
            urls = [
                stack.enter_context(
                    listening(lambda method, path, *_, name=name: (200, {"path": path, "parameters": found.said[name]}))
                )
                for _ in range(count)
            ]
            found.hosts[name] = [url.removeprefix("http://") for url in urls]
        yield found, EnvoyTarget(stack.enter_context(listening(found.admin)), "digits")


def test_clusters_are_the_digests_that_their_hosts_say(proxy: tuple[Proxy, EnvoyTarget]) -> None:
    _, target = proxy
    serving = target.serving()
    assert serving.traffic == TrafficSplit({A: 100})
    assert [(each.digest, each.version, each.state) for each in serving.versions] == [(A, 2, "ready"), (B, 2, "ready")]


def test_shares_are_changed_by_one_call(proxy: tuple[Proxy, EnvoyTarget]) -> None:
    found, target = proxy
    target.shift(TrafficSplit({A: 90, B: 10}, {B: 25}))
    assert len(found.posts) == 1
    assert target.serving().traffic == TrafficSplit({A: 90, B: 10}, {B: 25})
    target.shift(TrafficSplit({B: 100}))
    assert target.serving().traffic == TrafficSplit({B: 100})


def test_a_digest_that_nothing_serves_is_never_given_traffic(proxy: tuple[Proxy, EnvoyTarget]) -> None:
    found, target = proxy
    target.load(None, B)
    with pytest.raises(IntegrityError, match="no cluster of the proxy serves"):
        target.load(None, C)
    with pytest.raises(UserError, match="no cluster of the proxy serves"):
        target.shift(TrafficSplit({C: 100}))
    assert found.posts == []


def test_hosts_that_disagree_are_told_of(proxy: tuple[Proxy, EnvoyTarget]) -> None:
    found, target = proxy
    found.hosts["canary"] += found.hosts["stable"]
    with pytest.raises(UserError, match="serve different artifacts"):
        target.serving()


def test_a_host_that_does_not_say_what_it_serves_is_told_of(proxy: tuple[Proxy, EnvoyTarget]) -> None:
    found, target = proxy
    for said in (None, {}, {"digest": "short"}, {"digest": "g" * 64}):
        found.said["canary"] = said
        with pytest.raises(UserError, match="does not say which artifact"):
            target.serving()


def test_there_is_a_way_back_from_a_candidate_that_died(proxy: tuple[Proxy, EnvoyTarget]) -> None:
    found, target = proxy
    target.shift(TrafficSplit({A: 50, B: 50}))
    found.hosts["canary"] = ["127.0.0.1:1"]
    assert [(each.digest, each.state, each.weight) for each in target.serving().versions] == [
        (A, "ready", 50), (B, "failed", 50)
    ]  # fmt: skip
    with pytest.raises(IntegrityError):
        target.load(None, B)
    with pytest.raises(UserError, match="no cluster"):
        target.shift(TrafficSplit({B: 100}))
    target.shift(TrafficSplit({A: 100}))
    assert found.runtime["mlopt.weight.canary"] == "0"
    late = EnvoyTarget(target.name.removeprefix("envoy "), "digits")
    assert [each.digest for each in late.serving().versions] == [A, UNKNOWN], "who comes later cannot know it"


def test_hosts_that_are_gone_do_not_count_while_others_answer(proxy: tuple[Proxy, EnvoyTarget]) -> None:
    found, target = proxy
    found.hosts["stable"][0] = "127.0.0.1:1"
    assert target.serving().traffic == TrafficSplit({A: 100})
    assert target.serving().is_ready(A)


def test_a_cluster_without_hosts_is_no_version(proxy: tuple[Proxy, EnvoyTarget]) -> None:
    found, target = proxy
    found.hosts["canary"] = []
    assert [each.digest for each in target.serving().versions] == [A]


def test_one_digest_in_both_clusters_is_one_version(proxy: tuple[Proxy, EnvoyTarget]) -> None:
    found, target = proxy
    found.said["canary"] = found.said["stable"]
    found.runtime.update({"mlopt.weight.stable": "30", "mlopt.weight.canary": "70"})
    assert target.serving().traffic == TrafficSplit({A: 100})
    target.shift(TrafficSplit({A: 100}))
    assert found.runtime["mlopt.weight.canary"] == "100"


def test_what_has_traffic_is_not_let_go(proxy: tuple[Proxy, EnvoyTarget]) -> None:
    _, target = proxy
    target.unload(B)
    with pytest.raises(UserError, match="has traffic"):
        target.unload(A)


def test_its_counters_are_those_of_the_clusters(proxy: tuple[Proxy, EnvoyTarget]) -> None:
    found, target = proxy
    found.stats = (
        'envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="canary"} 7\n'
        'envoy_cluster_upstream_rq{envoy_response_code="500",envoy_cluster_name="canary"} 3\n'
    )
    counted = target.observed()
    assert (counted[B].requests, counted[B].errors) == (10, 3)
    assert counted[A].requests == 0
