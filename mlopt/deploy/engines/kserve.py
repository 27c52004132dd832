"""KServe: its model server with the models of this deployment, and an InferenceService that runs it.

The server listens on all interfaces, whatever it is told: it is for a cluster, behind a network policy.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlopt.deploy.derived import PLANNED_SHARE
from mlopt.deploy.engine import Page, ServedTogether, ServingEngine


def pages(deployment: ServedTogether) -> Iterator[Page]:
    """Yield the server, and the manifests that are KServe's own."""
    yield Page("server.py", "kserve/server.py.j2")
    yield Page("batching.py", "common/batching.py.j2")
    yield Page("model_runtime.py", "common/model_runtime.py.j2")
    told = {"timeout": deployment.pod.longest_ms, "planned": round(100 * PLANNED_SHARE)}
    yield Page("k8s/inferenceservice.yaml", "kserve/inferenceservice.yaml.j2", told | {"canary": False})
    yield Page("k8s/inferenceservice-canary.yaml", "kserve/inferenceservice.yaml.j2", told | {"canary": True})


ENGINE = ServingEngine(
    name="kserve",
    title="KServe",
    pins=("kserve==0.21.0",),
    base_mib=110,
    port=8080,
    start=("python3", "server.py"),
    local="unshare --net --map-root-user -- sh -c 'ip link set lo up; .venv/bin/python server.py'",
    pages=pages,
    deployment_kinds=("pdb", "networkpolicy"),
    pod_label="serving.kserve.io/inferenceservice",
    query='sum(rate(request_predict_seconds_count{pod=~"NAME-.*"}[1m]))',
)
