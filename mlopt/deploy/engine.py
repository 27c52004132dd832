"""What an engine is to those who write for it: its pins, its ports, and the pages that it wants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlopt.deploy.contents import ServedContent
from mlopt.deploy.ensemble import Link
from mlopt.deploy.pod import Pod


@dataclass(frozen=True)
class Page:
    """A file that is written from a template, with what only this one is told."""

    path: str
    template: str
    told: Mapping[str, Any] = field(default_factory=dict)
    executable: bool = False


@dataclass(frozen=True)
class ServedTogether:
    """All that is served together."""

    name: str
    """As Kubernetes takes names: lower case, digits and hyphens."""
    contents: tuple[ServedContent, ...]
    pod: Pod
    link: Link | None
    """How the first model feeds the second, if the engine can do that and they fit."""

    @property
    def digests(self) -> str:
        """What serves, in one line: ``name=digest`` of each model."""
        return ",".join(f"{each.name}={each.digest}" for each in self.contents)


def beside(content: ServedContent) -> str:
    """Return where a model's files lie, for engines that leave that to whoever writes."""
    return f"models/{content.name}/{content.version}"


def each_ready(deployment: ServedTogether) -> Sequence[str]:
    """Return the path of each model's own readiness."""
    return [f"/v2/models/{each.name}/ready" for each in deployment.contents]


@dataclass(frozen=True)
class ServingEngine:
    """One engine: a line of the table."""

    name: str
    title: str
    pins: tuple[str, ...]
    """Requirements beside the runtime's packages."""
    base_mib: int
    """What it takes without a model, as it was seen; the memory of a pod has it on top."""
    port: int
    start: tuple[str, ...]
    """The command of the container, in the folder that is written."""
    local: str
    """The command on this machine, on loopback."""
    pages: Callable[[ServedTogether], Iterable[Page]]
    folder: Callable[[ServedContent], str] = beside
    live: str = "/v2/health/live"
    ready: Callable[[ServedTogether], Sequence[str]] = each_ready
    """The paths that all answer 200 once every model can be asked."""
    base_image: str = "python:3.11-slim-bookworm"
    deployment_kinds: tuple[str, ...] = ("deployment", "service", "pdb", "networkpolicy", "hpa", "keda")
    """The manifests in ``k8s/`` that are written for it."""
    pod_label: str = "app.kubernetes.io/name"
    """The label that its pods carry."""
    links: bool = False
    """Whether it can feed one model with another's outputs by itself."""
    metrics_port: int | None = None
    """Where its metrics are, if not beside the models."""
    query: str = 'sum(rate(mlopt_rows_total{pod=~"NAME-.*"}[1m]))'
    """Samples per second in Prometheus's language, NAME the deployment's."""
    system_packages: tuple[str, ...] = ()
    """Debian's, for the image."""
    container_env: str = ""
    pod_env: tuple[tuple[str, str], ...] = ()
