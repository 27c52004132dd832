"""What is measured, and what was measured of it: candidates and the samples of a run, as data."""

from __future__ import annotations

from dataclasses import dataclass

from mlopt.formats.model import Model
from mlopt.measure.schedule import Stopped
from mlopt.results.figures import ColdStart
from mlopt.runtimes.base import Deployable, RuntimeOptions


@dataclass(frozen=True)
class Candidate:
    """A model as it would be deployed, under a load.

    ``concurrency`` is the number of clients, each of which waits for its answer before it asks again (a closed loop).
    """

    name: str
    deployable: Deployable
    batch_size: int = 1
    concurrency: int = 1

    @property
    def model(self) -> Model:
        """What is deployed."""
        return self.deployable.model

    @property
    def options(self) -> RuntimeOptions:
        """How it is opened."""
        return self.deployable.options


@dataclass(frozen=True)
class Measured:
    """The raw samples of one candidate: a tuple per block, in milliseconds per inference.

    Blocks 2i and 2i + 1 belong to round i of the interleaved run.
    """

    candidate: Candidate
    blocks: tuple[tuple[float, ...], ...]
    peak_rss_bytes: int
    """The most that any process of it held."""
    cold_start: ColdStart
    """Of its first process."""


@dataclass(frozen=True)
class Run:
    """One interleaved run. A candidate is in ``measured`` if it has at least the rounds of the first look."""

    measured: dict[str, Measured]
    partial: dict[str, Measured]
    """What is left of candidates that were lost before that."""
    lost: dict[str, str]
    """For each candidate that could not go on: the cause."""
    fixes: dict[str, str]
    """For those of them where that is known: what to do."""
    notes: tuple[str, ...]
    """What happened on the way, such as a process that died and was replaced."""
    looks: int
    looks_planned: int
    rounds: int
    """The most that any candidate has."""
    stopped: Stopped
    seconds: float

    @property
    def blocks(self) -> dict[str, tuple[tuple[float, ...], ...]]:
        """All samples, by candidate."""
        return {name: each.blocks for name, each in {**self.measured, **self.partial}.items()}
