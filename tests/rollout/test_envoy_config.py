"""The bootstrap for Envoy: every setting without which requests are lost."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from mlopt.rollout.envoy_config import CLUSTERS, EnvoySettings, bootstrap, edges_ms

SETTINGS = EnvoySettings({"stable": (("127.0.0.1", 9001), ("127.0.0.1", 9002)), "canary": (("127.0.0.1", 9003),)})


@pytest.fixture
def written() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(bootstrap(SETTINGS))
    return value


def route(written: dict[str, Any]) -> dict[str, Any]:
    (listener,) = written["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    found: dict[str, Any] = manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]
    return found


def test_shares_and_mirrors_are_runtime_keys_that_may_be_changed(written: dict[str, Any]) -> None:
    static, admin = written["layered_runtime"]["layers"]
    assert admin["admin_layer"] == {}
    assert static["static_layer"] == {
        "mlopt.weight.stable": 100, "mlopt.weight.canary": 0, "mlopt.mirror.stable": 0, "mlopt.mirror.canary": 0,
    }  # fmt: skip
    weighted = route(written)["weighted_clusters"]
    assert weighted["runtime_key_prefix"] == "mlopt.weight"
    assert [(each["name"], each["weight"]) for each in weighted["clusters"]] == [("stable", 100), ("canary", 0)]
    keys = [each["runtime_fraction"]["runtime_key"] for each in route(written)["request_mirror_policies"]]
    assert keys == [f"mlopt.mirror.{name}" for name in CLUSTERS]


def test_what_keeps_a_bad_one_from_hurting(written: dict[str, Any]) -> None:
    for cluster in written["static_resources"]["clusters"]:
        (check,) = cluster["health_checks"]
        assert check["no_traffic_interval"] == check["interval"] == "1s"
        assert cluster["outlier_detection"]["successful_active_health_check_uneject_host"] is False
        assert cluster["common_lb_config"]["healthy_panic_threshold"] == {"value": 0}
        (threshold,) = cluster["circuit_breakers"]["thresholds"]
        assert (threshold["max_connections"], threshold["max_pending_requests"]) == (256, 256)
        assert threshold["retry_budget"]["budget_percent"] == {"value": 20.0}
    assert route(written)["retry_policy"]["num_retries"] == 5


def test_it_listens_on_this_machine_alone(written: dict[str, Any]) -> None:
    places = [written["admin"]["address"], written["static_resources"]["listeners"][0]["address"]]
    assert {each["socket_address"]["address"] for each in places} == {"127.0.0.1"}


def test_a_host_by_name_is_looked_up() -> None:
    value = json.loads(bootstrap(EnvoySettings({"stable": (("model.internal", 80),), "canary": (("127.0.0.1", 1),)})))
    assert [each["type"] for each in value["static_resources"]["clusters"]] == ["STRICT_DNS", "STATIC"]


def test_buckets_are_dense_and_end_where_envoy_counts() -> None:
    edges = edges_ms()
    assert edges[0] == 1
    assert edges[-1] > 50_000
    assert all(late > early for early, late in pairwise(edges))
    assert all(late <= 1.11 * early for early, late in pairwise(edges) if early >= 20)
    assert all(int(each / 10 ** (len(str(int(each))) - 2)) == each / 10 ** (len(str(int(each))) - 2)
               for each in edges if each >= 10)  # fmt: skip
