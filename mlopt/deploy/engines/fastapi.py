"""FastAPI: an ASGI program of its own, for those who run nothing else. It speaks the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Iterator

from mlopt.deploy.engine import Page, ServedTogether, ServingEngine
from mlopt.deploy.vendored import VENDORED


def pages(_deployment: ServedTogether) -> Iterator[Page]:
    """Yield the program and its parts."""
    yield Page("app.py", "fastapi/app.py.j2")
    yield Page("batching.py", "common/batching.py.j2")
    yield Page("model_runtime.py", "common/model_runtime.py.j2")
    yield Page("open_inference.py", VENDORED)


ENGINE = ServingEngine(
    name="fastapi",
    title="FastAPI",
    pins=("fastapi==0.163.2", "uvicorn==0.54.0", "prometheus-client==0.26.0"),
    base_mib=32,
    port=8000,
    start=("python3", "app.py", "--host", "0.0.0.0"),  # noqa: S104 - in a container, behind its own network
    local=".venv/bin/python app.py",
    pages=pages,
)
