"""Ray Serve: each model a deployment that batches, and one in front of them that speaks the protocol.

Ray opens ports on all interfaces, and whoever reaches one can run programs: it is for a network of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlopt.deploy.engine import Page, ServedTogether, ServingEngine
from mlopt.deploy.vendored import VENDORED


def pages(_deployment: ServedTogether) -> Iterator[Page]:
    """Yield the application."""
    yield Page("app.py", "ray_serve/app.py.j2")
    yield Page("model_runtime.py", "common/model_runtime.py.j2")
    yield Page("open_inference.py", VENDORED)


ENGINE = ServingEngine(
    name="ray-serve",
    title="Ray Serve",
    pins=("ray[serve]==2.60.0",),
    base_mib=1500,
    port=8000,
    start=("python3", "app.py", "--host", "0.0.0.0"),  # noqa: S104 - in a container, behind its own network
    local="unshare --net --map-root-user -- sh -c 'ip link set lo up; .venv/bin/python app.py'",
    pages=pages,
    query='sum(rate(ray_serve_deployment_request_counter{pod=~"NAME-.*"}[1m]))',
    container_env="RAY_USAGE_STATS_ENABLED=0",
)
