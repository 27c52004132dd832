"""Latency of several candidates, compared fairly: a process each, taking turns in short blocks, in random order.

Timing candidates one after the other compares the machine at two times; running them in one process lets the spinning
threads of one slow the next. So every candidate has its process, only one runs at any moment, and every round has two
blocks of each (``schedule``). A process that dies takes nothing along: its cause is told, and the others go on.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlopt.core.errors import MloptError, OutputError
from mlopt.core.hardware import usable_cores
from mlopt.core.locks import locked
from mlopt.core.worker import Worker, WorkerDiedError, WorkerRaisedError, shared_folder
from mlopt.data.dataset import Dataset
from mlopt.measure.bench import SETTLE_SECONDS, WARM_UP_CALLS, WARM_UP_SECONDS, Bench, import_runtime
from mlopt.measure.candidate import Candidate, Measured, Run
from mlopt.measure.schedule import SPEAKS_FROM, Notify, Schedule, follow
from mlopt.results.figures import ColdStart


@dataclass(frozen=True)
class Patience:
    """Seconds after which a process that does not answer counts as hanging."""

    opening: float = 600.0
    answer: float = 60.0
    """For a block: this, or twenty times what it should take by the first inference, if that is more."""

    def with_work(self, seconds: float) -> float:
        """Return the limit for work that should take so many seconds."""
        return max(self.answer, 20 * seconds)


Undecided = Callable[[Mapping[str, Measured]], Collection[str]]
"""From the samples so far to the names of the candidates that need more."""


def measure(
    candidates: Sequence[Candidate],
    samples: Dataset,
    schedule: Schedule,
    *,
    notify: Notify,
    undecided: Undecided | None = None,
    interim: Callable[[Mapping[str, Measured]], str] | None = None,
    patience: Patience = Patience(),
    cold: bool = True,
) -> Run:
    """Measure all candidates in one interleaved run.

    ``undecided`` is asked after each look, and only what it names goes on; without it there is one look. ``interim``
    says in a few words what the samples show so far; it gets those with enough rounds for an interval. Of several
    ``mlopt`` processes on a machine, one measures at a time. A candidate that cannot be opened, raises, dies or hangs
    is in ``Run.lost``; nothing is raised for it. Processes that are not ``cold`` start sooner, and are timed alike; the
    memory that they hold, and what a model's first answer takes, are then no evidence.
    """
    with alone(notify), tempfile.TemporaryDirectory(prefix="mlopt-measure-") as folder, ExitStack() as ends:
        turns = [
            _Turn(candidate, samples, Path(folder) / f"{number}.log", patience, cold=cold)
            for number, candidate in enumerate(candidates)
        ]
        if cold:
            notify("starting a process for each", 0.0)
            _begin(turns, ends)

        def with_rounds(least: int) -> dict[str, Measured]:
            return {turn.name: turn.measured() for turn in turns if turn.rounds >= least}

        course = follow(
            schedule, turns, notify,
            undecided=None if undecided is None else lambda: undecided(with_rounds(schedule.rounds)),
            interim=None if interim is None else lambda: interim(with_rounds(SPEAKS_FROM)),
        )  # fmt: skip
    measured = with_rounds(schedule.rounds)
    return Run(
        measured=measured,
        partial={name: each for name, each in with_rounds(1).items() if name not in measured},
        lost={turn.name: turn.lost for turn in turns if turn.lost is not None},
        fixes={turn.name: turn.fix for turn in turns if turn.fix is not None},
        notes=tuple(note for turn in turns for note in turn.notes),
        looks=course.looks,
        looks_planned=schedule.looks if undecided is not None else 1,
        rounds=course.rounds,
        stopped=course.stopped,
        seconds=course.seconds,
    )


@contextmanager
def alone(notify: Notify) -> Iterator[None]:
    """Wait until no other ``mlopt`` of this user measures, and keep the machine for this one."""
    lock = Path(shared_folder()) / f"mlopt-measuring-{os.getuid()}.lock"
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(lock, wait=False, busy="another mlopt is measuring"))
        except OutputError:
            notify("waiting for other measurements on this machine to end", 0.0)
            stack.enter_context(locked(lock))
        yield


def _begin(turns: Sequence[_Turn], ends: ExitStack) -> None:
    """Start all processes side by side, before anything is timed: importing its runtime is most of what one takes."""
    for turn in turns:
        ends.callback(turn.close)
        turn.begin()  # by this thread: a child is ended with the thread that it was started by
    with ThreadPoolExecutor(usable_cores()) as pool:
        for _ in pool.map(_Turn.get_ready, turns):
            pass


class _Turn:
    """One candidate's side of the interleaving, in the measuring process."""

    def __init__(
        self, candidate: Candidate, samples: Dataset, log: Path, patience: Patience, *, cold: bool = True
    ) -> None:
        self.candidate, self._cold = candidate, cold
        self.lost: str | None = None
        self.fix: str | None = None
        self.notes: list[str] = []
        self._samples, self._log, self._patience = samples, log, patience
        self._worker: Worker | None = None
        self._begun: Worker | None = None
        """A process that has done nothing yet but import."""
        self._cold_starts: list[ColdStart] = []
        self._blocks: list[tuple[float, ...]] = []
        self._peak_rss_bytes = 0

    @property
    def name(self) -> str:
        return self.candidate.name

    @property
    def rounds(self) -> int:
        """The rounds that it completed."""
        return len(self._blocks) // 2

    def measured(self) -> Measured:
        """Return the samples of the completed rounds, of which there must be one."""
        blocks = tuple(self._blocks[: 2 * self.rounds])
        return Measured(self.candidate, blocks, self._peak_rss_bytes, self._cold_starts[0])

    def begin(self) -> None:
        """Start its process."""
        self._begun = Worker(self._log, quiet=True, cold=self._cold)

    def get_ready(self) -> None:
        """Let the process import its runtime; one that cannot is started anew when it is opened, and told of then."""
        if self._begun is not None:
            try:
                self._begun.call_for(self._patience.opening, import_runtime, self.candidate.deployable.runtime)
            except (WorkerDiedError, WorkerRaisedError, MloptError):
                self._begun.close()
                self._begun = None

    def open(self) -> None:
        """Start it in a new process and warm it up."""
        try:
            self._start()
        except (WorkerDiedError, WorkerRaisedError, MloptError) as error:
            self.lost = f"{_in_a_line(error)}, when it was opened"
            self.fix = error.problems[0].fix if isinstance(error, MloptError) else None

    def block(self, seconds: float, least: int, *, settle: bool) -> None:
        """Run one timed block. A process that dies in one is replaced once, and the block runs in the new one."""
        try:
            try:
                self._run(seconds, least, settle=settle)
            except WorkerDiedError as error:
                if self.notes:
                    raise
                self.notes.append(f"{self.name}: {error}, in round {self.rounds + 1}; a new process took its place")
                self.close()
                self._run(seconds, least, settle=True)
        except (WorkerDiedError, WorkerRaisedError, MloptError) as error:
            again = ", for the second time" if self.notes and isinstance(error, WorkerDiedError) else ""
            self.lost = f"{_in_a_line(error)}, in round {self.rounds + 1}{again}"

    def close(self) -> None:
        """End its process."""
        for worker in filter(None, (self._worker, self._begun)):
            worker.close()
        self._worker = self._begun = None

    def _start(self) -> Worker:
        if self._worker is not None:
            self._worker.close()
        worker = self._worker = self._begun or Worker(self._log, quiet=True, cold=self._cold)
        self._begun = None
        worker.host(Bench, self.candidate, self._samples, timeout=self._patience.opening)
        self._cold_starts.append(worker.invoke("cold_start", timeout=self._patience.answer))
        worker.invoke("warm_up", timeout=self._limit(WARM_UP_SECONDS, WARM_UP_CALLS))
        return worker

    def _run(self, seconds: float, least: int, *, settle: bool) -> None:
        worker = self._worker or self._start()
        limit = self._limit(SETTLE_SECONDS + seconds, 1 + least)
        times = worker.invoke("block", seconds, least, settle, timeout=limit)
        held = worker.invoke("peak_rss_bytes", timeout=self._patience.answer)
        self._peak_rss_bytes = max(self._peak_rss_bytes, held)
        self._blocks.append(tuple(times))

    def _limit(self, seconds: float, calls: int) -> float:
        return self._patience.with_work(max(seconds, calls * self._cold_starts[-1].first_ms / 1e3))


def _in_a_line(error: Exception) -> str:
    return error.brief if isinstance(error, MloptError) else str(error)
