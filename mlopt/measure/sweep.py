"""Models at several loads: batch sizes, threads and numbers of clients, each with each.

What comes out is a picture of latency against throughput. A point is measured briefly and once: it shows the shape of
the curve, and no gate is judged on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from mlopt.data.dataset import Dataset
from mlopt.data.feeds import batch_of
from mlopt.measure import statistics
from mlopt.measure.candidate import Candidate, Measured
from mlopt.measure.figures import throughput
from mlopt.measure.latency import measure
from mlopt.measure.schedule import Notify, Schedule
from mlopt.results.figures import SweepPoint

_SCHEDULE = Schedule(seconds=0.5, rounds=5, max_time=0.0, looks=1, least=20)  # one look, which is never cut short
_PROCESSES = 16  # all open at once, each with its model in memory


@dataclass(frozen=True)
class Load:
    """How hard a model is worked; ``threads`` is None for what the candidate has."""

    batch_size: int = 1
    threads: int | None = None
    concurrency: int = 1

    def on(self, candidate: Candidate) -> Candidate:
        """Return the candidate under this load."""
        deployable = candidate.deployable
        if self.threads is not None:
            deployable = deployable.on_threads(self.threads)
        return replace(candidate, deployable=deployable, batch_size=self.batch_size, concurrency=self.concurrency)

    def __str__(self) -> str:
        threads = () if self.threads is None else (f"threads {self.threads}",)
        return ", ".join((f"batch {self.batch_size}", *threads, f"concurrency {self.concurrency}"))


def sweep(
    candidates: Sequence[Candidate], loads: Sequence[Load], dataset: Dataset, notify: Notify
) -> tuple[tuple[SweepPoint, ...], tuple[str, ...]]:
    """Measure every candidate at every load, all in turns; return the points, and what is missing and why.

    All are open at once up to 16 processes; more loads than that go one group after the other.
    """
    notes = _misfits(candidates, loads, dataset)
    measured: dict[str, Measured] = {}
    size = max(1, _PROCESSES // len(candidates))
    for start in range(0, len(loads), size):
        group = loads[start : start + size]
        some = [
            replace(load.on(each), name=_full_name(each, load))
            for load in group
            for each in candidates
            if _fits(each, load, dataset)
        ]
        if some:
            part = partial(_part, notify, start / len(loads), len(group) / len(loads))
            run = measure(some, dataset, _SCHEDULE, notify=part)
            measured |= run.measured
            notes += [f"{name} was lost: {cause}" for name, cause in run.lost.items()]
    points = (
        _point(each.name, measured[full])
        for each in candidates
        for load in loads
        if (full := _full_name(each, load)) in measured
    )
    return tuple(points), tuple(notes)


def _fits(candidate: Candidate, load: Load, dataset: Dataset) -> bool:
    return batch_of(dataset, candidate.model.inputs, load.batch_size) == load.batch_size


def _misfits(candidates: Sequence[Candidate], loads: Sequence[Load], dataset: Dataset) -> list[str]:
    """Say which batch sizes each model cannot take."""
    found = []
    for each in candidates:
        sizes = sorted({load.batch_size for load in loads if not _fits(each, load, dataset)})
        if sizes:
            takes = batch_of(dataset, each.model.inputs, 1)
            listed = ", ".join(map(str, sizes))
            found.append(f"{each.name}: batch {listed} left out, since it takes {takes} in one inference, always")
    return found


def _full_name(candidate: Candidate, load: Load) -> str:
    return f"{candidate.name} at {load}"


def _part(notify: Notify, start: float, size: float, detail: str, done: float) -> None:
    notify(detail, start + size * done)


def _point(name: str, measured: Measured) -> SweepPoint:
    candidate, latency = measured.candidate, statistics.latency(measured.blocks)
    return SweepPoint(
        name=name, batch_size=candidate.batch_size, threads=candidate.options.threads,
        concurrency=candidate.concurrency, latency_ms=latency,
        throughput_per_s=throughput(latency.mean, candidate.batch_size, candidate.concurrency),
    )  # fmt: skip
