"""A whole bootstrap for Envoy: two clusters that a rollout shifts between, and what keeps a bad one from hurting.

Each setting that is not Envoy's default is there because the default loses requests; the comments say how.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

CLUSTERS = ("stable", "canary")
"""The first has all traffic when Envoy starts. After a promotion they have changed places: what serves is told by the
weights, and the free one takes the next candidate."""
WEIGHT_KEY, MIRROR_KEY = "mlopt.weight", "mlopt.mirror"
"""Runtime keys, each followed by the cluster's name."""

_TYPE = "type.googleapis.com/envoy."
_ANY_KEY = "@type"


@dataclass(frozen=True)
class EnvoySettings:
    """What differs from place to place. Times in seconds."""

    hosts: dict[str, tuple[tuple[str, int], ...]]
    """Of each cluster, its hosts and ports."""
    listen: tuple[str, int] = ("127.0.0.1", 8080)
    admin: tuple[str, int] = ("127.0.0.1", 9901)
    timeout_s: float = 10.0
    """For a whole request, its retries included."""
    retries: int = 5
    retry_budget_percent: float = 20.0
    """Of the requests in flight: so that retries cannot become the load."""
    max_connections: int = 256
    max_pending: int = 256
    max_request_bytes: int = 32 << 20
    health_path: str = "/v2/health/ready"
    health_every_s: float = 1.0
    retry_on: tuple[str, ...] = field(default=("connect-failure", "refused-stream", "reset", "gateway-error"))


def bootstrap(settings: EnvoySettings) -> str:
    """Return the configuration as JSON, for ``envoy -c FILE``."""
    value = {
        "admin": {"address": _address(*settings.admin)},
        "layered_runtime": {
            "layers": [
                {"name": "start", "static_layer": _first_shares()},
                # Without this layer /runtime_modify is refused.
                {"name": "admin", "admin_layer": {}},
            ]
        },
        "stats_config": {"histogram_bucket_settings": [_buckets()]},
        "static_resources": {
            "listeners": [_listener(settings)],
            "clusters": [_cluster(name, settings) for name in CLUSTERS],
        },
    }
    return json.dumps(value, indent=2) + "\n"


def edges_ms() -> list[float]:
    """Return upper ends of the buckets of times, 1 ms to 60 s, each at most a tenth above the last from 20 ms on.

    They have two digits, as the bins have in which Envoy counts: so nothing is interpolated between them.
    """
    found, at = [float(each) for each in range(1, 20)], 20.0
    while at <= 60_000:
        scale = 10 ** (len(str(int(at))) - 2)
        found.append(float(int(at / scale) * scale))
        at = found[-1] * 1.1 if found[-1] * 1.1 >= found[-1] + scale else found[-1] + scale
    return found


def _first_shares() -> dict[str, int]:
    weights = {f"{WEIGHT_KEY}.{name}": 100 * (name == CLUSTERS[0]) for name in CLUSTERS}
    return {**weights, **{f"{MIRROR_KEY}.{name}": 0 for name in CLUSTERS}}


def _buckets() -> dict[str, Any]:
    return {"match": {"suffix": "upstream_rq_time"}, "buckets": edges_ms()}


def _listener(settings: EnvoySettings) -> dict[str, Any]:
    manager = {
        _ANY_KEY: f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "inference",
        "route_config": {"virtual_hosts": [{"name": "models", "domains": ["*"], "routes": [_route(settings)]}]},
        "http_filters": [
            {"name": "router", "typed_config": {_ANY_KEY: f"{_TYPE}extensions.filters.http.router.v3.Router"}}
        ],
    }
    return {
        "name": "inference",
        "address": _address(*settings.listen),
        # A request is sent again only if it was kept whole, and by default that ends at 1 MiB.
        "per_connection_buffer_limit_bytes": settings.max_request_bytes,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _route(settings: EnvoySettings) -> dict[str, Any]:
    first = _first_shares()
    return {
        "match": {"prefix": "/"},
        "route": {
            "timeout": _seconds(settings.timeout_s),
            "weighted_clusters": {
                "runtime_key_prefix": WEIGHT_KEY,
                "clusters": [{"name": name, "weight": first[f"{WEIGHT_KEY}.{name}"]} for name in CLUSTERS],
            },
            "request_mirror_policies": [_mirror(name) for name in CLUSTERS],
            "retry_policy": {
                "retry_on": ",".join(settings.retry_on),
                "num_retries": settings.retries,
                "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
                # Another host of the same cluster: a canary that fails never falls back to the stable one by itself.
                "retry_host_predicate": [
                    {
                        "name": "previous_hosts",
                        "typed_config": {
                            _ANY_KEY: f"{_TYPE}extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                        },
                    }
                ],
                "host_selection_retry_max_attempts": 5,
            },
        },
    }


def _mirror(name: str) -> dict[str, Any]:
    fraction = {"default_value": {"numerator": 0, "denominator": "HUNDRED"}, "runtime_key": f"{MIRROR_KEY}.{name}"}
    return {"cluster": name, "runtime_fraction": fraction}


def _cluster(name: str, settings: EnvoySettings) -> dict[str, Any]:
    hosts = [{"endpoint": {"address": _address(*each)}} for each in settings.hosts.get(name, ())]
    named = any(not _is_ip(host) for host, _ in settings.hosts.get(name, ()))
    return {
        "name": name,
        "type": "STRICT_DNS" if named else "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]},
        "per_connection_buffer_limit_bytes": settings.max_request_bytes,
        # By default, with too few healthy hosts, requests go to the unhealthy ones as well.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [_health_check(settings)],
        "outlier_detection": _outliers(),
        "circuit_breakers": {"thresholds": [_threshold(settings)]},
    }


def _health_check(settings: EnvoySettings) -> dict[str, Any]:
    every = _seconds(settings.health_every_s)
    return {
        "timeout": every,
        "interval": every,
        # By default a cluster without traffic, as the candidate's is before it starts, is looked at once a minute.
        "no_traffic_interval": every,
        "no_traffic_healthy_interval": every,
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": settings.health_path},
    }


def _outliers() -> dict[str, Any]:
    return {
        # What a host answers itself (503 with a full queue is no outage) is counted apart from hosts that are gone.
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "consecutive_5xx": 10,
        "interval": "1s",
        "base_ejection_time": "10s",
        "max_ejection_percent": 50,
        # By default a health check that passes brings a host back at once that fails its requests: it flaps.
        "successful_active_health_check_uneject_host": False,
    }


def _threshold(settings: EnvoySettings) -> dict[str, Any]:
    return {
        # With HTTP/1 these two bound what waits; max_requests does not.
        "max_connections": settings.max_connections,
        "max_pending_requests": settings.max_pending,
        "retry_budget": {"budget_percent": {"value": settings.retry_budget_percent}, "min_retry_concurrency": 10},
        "track_remaining": True,
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _seconds(value: float) -> str:
    return f"{value:g}s"


def _is_ip(host: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
