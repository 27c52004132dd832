"""What became of the steps of a chain, as data: made by the loop, told by the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlopt.formats.model import Model
from mlopt.recipe.schema import Step
from mlopt.results.figures import Accuracy, Latency, Parity
from mlopt.runtimes.base import Deployable


@dataclass(frozen=True)
class TrialVerdict:
    """What became of an optional step: the reason to drop it, or None, and the figures behind that."""

    reason: str | None
    latency_ms: Latency | None = None
    accuracy: Accuracy | None = None
    macs: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What one step did. A step that was dropped still has the model that it wrote; see ``kept``."""

    step: Step
    version: int
    status: str
    reason: str | None
    deployable: Deployable | None = None
    seconds: float | None = None
    peak_rss_bytes: int | None = None
    parity: Parity | None = None
    notes: Mapping[str, Any] | None = None
    trial: TrialVerdict | None = None
    """What the guard measured, of an optional step."""
    broken: bool = False
    """Whether its word does not hold: it is lossless, and the results changed."""

    @property
    def model(self) -> Model | None:
        """The model that the step wrote."""
        return None if self.deployable is None else self.deployable.model

    @property
    def kept(self) -> Deployable | None:
        """What the chain goes on with; None if it goes on with what there was before."""
        return None if self.status == "dropped" else self.deployable


Trial = Callable[[Deployable, Deployable, bool], TrialVerdict]
"""``guard(best, candidate, lossy)`` decides whether what an optional step came to is kept."""


@dataclass(frozen=True)
class Way:
    """What the chain came to in one runtime."""

    runtime: str
    start: Deployable
    """The source as it is run before the first step."""
    outcomes: tuple[Outcome, ...]
    lost: str | None = None
    """Why it came to nothing, if so."""
    dead: bool = False
    """Whether that is since a process in this runtime crashed or hung: then nothing more is tried in it."""
