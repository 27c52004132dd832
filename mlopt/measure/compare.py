"""One interleaved comparison, with looks until it is decided: what experiments, ``bench`` and searches measure by.

They differ in what they still want to know, and that they pass in; who then goes on, and what is said, is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from mlopt.data.dataset import Dataset
from mlopt.measure import latency, statistics
from mlopt.measure.candidate import Candidate, Measured, Run
from mlopt.measure.gpu_watch import GpuWatch
from mlopt.measure.latency import Undecided
from mlopt.measure.schedule import Notify, Schedule


def compare(
    candidates: Sequence[Candidate], samples: Dataset, schedule: Schedule, *, copies: tuple[str, str],
    undecided: Undecided | None, notify: Notify, final: str | None = None, needs: Collection[str] = (),
    cold: bool = True,
) -> Run:  # fmt: skip
    """Measure until ``undecided`` names nobody, or the schedule ends.

    ``copies`` are the two candidates that are one model: ratios rest on them, so they go on with whatever goes on
    beside ``final``, which alone may go on by itself. Without one of ``needs`` nothing could be decided, and nothing is
    asked. While it goes on, the speed of ``final`` against the first of the copies is told. A search, which is
    after speed alone, needs no ``cold`` processes (``latency.measure``).
    """

    def wanted(measured: Mapping[str, Measured]) -> Collection[str]:
        if undecided is None or not set(needs) <= set(measured):
            return ()
        names = set(undecided(measured))
        return names | set(copies) if names - {final} else names

    base, alpha = copies[0], statistics.ALPHA / schedule.looks

    def interim(measured: Mapping[str, Measured]) -> str:
        return "" if final is None else _speed(measured, base, final, alpha)

    def measured() -> Run:
        return latency.measure(
            candidates, samples, schedule, notify=notify, undecided=None if undecided is None else wanted,
            interim=interim, cold=cold,
        )  # fmt: skip

    if all(each.deployable.options.device == "cpu" for each in candidates):
        return measured()
    with GpuWatch() as watch:
        run = measured()
    return replace(run, notes=(*run.notes, *watch.told))


def _speed(measured: Mapping[str, Measured], base: str, final: str, alpha: float) -> str:
    """Say how fast the result seems so far."""
    if base == final or not {base, final} <= set(measured):
        return ""
    blocks = measured[base].blocks, measured[final].blocks
    if min(map(len, blocks)) // 2 < statistics.rounds_needed(alpha):  # one of them was lost early
        return ""
    middle, low, high = statistics.speedup(*blocks, alpha)
    return f"speedup {middle:.2f}x ({low:.2f} to {high:.2f})"
