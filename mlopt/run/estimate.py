"""About how long a phase of a run will take: as it took before, as it took others in proportion, or as a guess says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from mlopt.recipe.schema import Measure, Step
from mlopt.run.ledger import Spent, Workload

_LATEST = 5
_LEAST_RATIO, _MOST_RATIO = 0.02, 50.0
_MACS_PER_SECOND = 5e9
"""Of one thread: what a guess takes for granted."""
_START = 0.7
"""Seconds to start a process, and to open a small model in it."""
_BLOCK_CALLS = 2000
_SETTLE = 0.1
_READING, _SIMPLE_PASS, _PAGES = 1.5, 2.0, 2.5
_SEARCH_SHARE = 0.5
"""Of the time that a search may take, what one of a model of some size takes."""
_BACKWARD = 3.0
"""What a step of training costs, in inferences."""


@dataclass(frozen=True)
class Estimate:
    """Seconds, and what they rest on, in words."""

    seconds: float
    basis: str


def estimate(phase: str, name: str, size: Workload | None, runs: Sequence[Spent], guess: float) -> Estimate:
    """Return what a phase will take a recipe called ``name``; ``runs`` are those before, ``guess`` is for lack of any.

    Without ``size``, which is not known before the data are read, nothing is scaled.
    """
    known = [run for run in runs if phase in run.seconds]
    own = [run for run in known if run.name == name][-_LATEST:]
    if own:
        times = "the last run" if len(own) == 1 else f"the last {len(own)} runs"
        return Estimate(
            median(_scaled(run.seconds[phase], run.size, size) for run in own), f"by {times} of this recipe"
        )
    others = known[-_LATEST:]
    if others:
        scaled = [_scaled(run.seconds[phase], run.size, size) for run in others]
        runs_of = f"{len(others)} earlier run{'s' * (len(others) > 1)}"
        how = "" if size is None else ", scaled by multiplications and samples"
        return Estimate(median(scaled), f"by {runs_of} of other models{how}")
    return Estimate(max(0.0, guess), "no earlier run: a guess from sizes and settings")


def _scaled(seconds: float, then: Workload, now: Workload | None) -> float:
    """Return what took one model so long for another: processes start as fast, and work grows in proportion."""
    ratio = now.work / then.work if now is not None and then.work > 0 and now.work > 0 else 1.0
    fixed = min(seconds, _START)
    return fixed + (seconds - fixed) * min(max(ratio, _LEAST_RATIO), _MOST_RATIO)


@dataclass(frozen=True)
class Guess:
    """What is taken for granted where nothing ran before."""

    size: Workload
    threads: int
    measure: Measure

    @property
    def inference(self) -> float:
        """The seconds of one inference."""
        return self.size.macs / (_MACS_PER_SECOND * max(1, self.threads)) + 1e-5

    @property
    def evaluation(self) -> float:
        """The seconds of all samples, in a process of their own."""
        return _START + self.size.samples * self.inference

    def reading(self) -> float:
        """Reading the data, and running the source on it, twice."""
        return _READING + 2 * self.evaluation

    def step(self, step: Step, *, trains: bool) -> float:
        """One step: what it does, and what checks it."""
        limit: float = getattr(step.config, "seconds", 0.0) if step.config.searches else 0.0
        work = _SIMPLE_PASS + 2 * self.evaluation
        if trains:
            epochs: int = getattr(step.config, "epochs", 10)
            work += epochs * _BACKWARD * self.size.samples * self.inference
        return work + (min(_SEARCH_SHARE * limit, 8 * _START + 20 * self.evaluation) if limit else 0.0)

    def trial(self) -> float:
        """What tells whether a step is worth it: two copies of one model, and the other."""
        return self.comparison(3, 0.5 * self.measure.seconds) + self.evaluation

    def comparison(self, candidates: int, seconds: float) -> float:
        """One look at so many candidates; of a small model, a block ends with its number of calls."""
        block = min(seconds / (2 * self.measure.rounds), _BLOCK_CALLS * self.inference)
        blocks = 2 * self.measure.rounds * (block + min(_SETTLE, block) + self.inference)
        return candidates * (_START + 0.4 + 3 * self.inference + blocks)

    def pages(self) -> float:
        """The report and the artifact."""
        return _PAGES
