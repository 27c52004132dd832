"""What a server is to serve, and how: all that the command line says, in one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.serve.derived import AskedLimits

if TYPE_CHECKING:
    from mlopt.artifact.signing.base import Trust
    from mlopt.serve.tap import Observer


@dataclass(frozen=True)
class ServeRequest:
    """Several artifacts of one name are versions of one model; the first takes all requests unless weights say else."""

    artifacts: tuple[tuple[str | None, Path], ...]
    """Each with the name that it is served as; None is its own."""
    trust: Trust | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes any that is free."""
    limits: AskedLimits = field(default_factory=AskedLimits)
    weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """By model, percent for each of its artifacts in the order given."""
    shadow: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    fallback_after: int = 0
    cache_bytes: int = 0
    max_body: int = 64 << 20
    token: str | None = None
    """Without one there is no admin API."""
    repositories: tuple[Path, ...] = ()
    drain_delay_s: float = 0.0
    """How long requests are still taken after readiness went."""
    drain_timeout_s: float = 30.0
    sketch: bool = False
    """Whether requests and answers are sketched, for ``mlopt monitor``."""
    observer: Observer | None = None
    """Looks at requests and answers, if they are not sketched."""
