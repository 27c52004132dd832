"""BentoML: a service whose calls it batches itself, in as many workers as there are instances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlopt.deploy.derived import Derived
from mlopt.deploy.engine import Page, ServedTogether, ServingEngine
from mlopt.deploy.vendored import VENDORED


def pages(deployment: ServedTogether) -> Iterator[Page]:
    """Yield the service, and what `bentoml build` goes by."""
    settings = [each.settings for each in deployment.contents]
    workers = max(each.instances.whole for each in settings)
    deepest = max(settings, key=lambda each: each.queue_rows.value)
    under_way = -(-deepest.queue_rows.whole // workers) + deepest.largest_batch.whole
    yield Page("service.py", "bentoml/service.py.j2", {
        "workers": workers,
        "smallest_batch": min((each.largest_batch for each in settings), key=lambda each: each.value),
        "under_way": Derived(under_way, f"a full batch, and this worker's part of the queue: {deepest.queue_rows.why}"),
    })  # fmt: skip
    yield Page("bentofile.yaml", "bentoml/bentofile.yaml.j2")
    yield Page("model_runtime.py", "common/model_runtime.py.j2")
    yield Page("open_inference.py", VENDORED)
    if deployment.link is not None:
        yield Page("ensemble.py", "common/ensemble.py.j2")


def ready(deployment: ServedTogether) -> Sequence[str]:
    """Return BentoML's own readiness, and that of each model."""
    names = [each.name for each in deployment.contents]
    names += [deployment.link.name] if deployment.link else []
    return ["/readyz", *(f"/v2/models/{name}/ready" for name in names)]


ENGINE = ServingEngine(
    name="bentoml",
    title="BentoML",
    pins=("bentoml==1.4.40",),
    base_mib=140,
    port=3000,
    start=("bentoml", "serve", "service:Models", "--host", "0.0.0.0", "--port", "3000"),  # noqa: S104 - in a container
    local="PATH=$PWD/.venv/bin:$PATH BENTOML_DO_NOT_TRACK=True bentoml serve service:Models --host 127.0.0.1",
    pages=pages,
    ready=ready,
    live="/livez",
    links=True,
    query='sum(rate(mlopt_rows_total{pod=~"NAME-.*"}[1m]))',
    container_env="BENTOML_DO_NOT_TRACK=True BENTOML_HOME=/tmp/bentoml",
)
