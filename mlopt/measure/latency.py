"""Latency of several candidates, compared fairly: a process each, taking turns in short blocks, in random order.

Timing candidates one after the other compares the machine at two times; running them in one process lets the spinning
threads of one slow the next. So every candidate has its process, only one runs at any moment, and every round has one
block of each, so that the drift of the machine falls on all of them alike.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mlopt.cache import locked
from mlopt.data.dataset import Dataset
from mlopt.errors import MeasureError, MloptError
from mlopt.measure.candidate import Bench, Candidate
from mlopt.worker import Worker, WorkerDiedError, WorkerRaisedError

_MIN_SAMPLES = 60  # what a 95th percentile takes, over all rounds
_MAX_CALLS = 2000

T = TypeVar("T")
Notify = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0 to 1."""


@dataclass(frozen=True)
class Measured:
    """The raw samples of one candidate: a tuple per block, in milliseconds per inference."""

    candidate: Candidate
    blocks: tuple[tuple[float, ...], ...]
    peak_rss_bytes: int
    cold_start_seconds: float


def measure(
    candidates: Sequence[Candidate],
    samples: Dataset,
    *,
    batch_size: int,
    seconds: float,
    rounds: int,
    seed: int,
    notify: Notify,
) -> dict[str, Measured]:
    """Measure all candidates in one interleaved run: ``seconds`` for each, divided into ``rounds`` blocks.

    Of several ``mlopt`` processes on a machine, one measures at a time. Raises ``MeasureError`` naming the candidate
    that could not be opened or died.
    """
    with ExitStack() as stack:
        notify("waiting for other measurements on this machine to end", 0.0)
        stack.enter_context(locked(Path(tempfile.gettempdir()) / f"mlopt-measuring-{_user()}.lock"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlopt-measure-")))
        turns = [
            _Turn(candidate, stack.enter_context(Worker(folder / f"{number}.log")))
            for number, candidate in enumerate(candidates)
        ]
        for number, turn in enumerate(turns):
            notify(f"warming up {turn.candidate.name}", number / len(turns))
            turn.start(samples, batch_size)
        order = random.Random(seed)  # noqa: S311 - the order of blocks, not a secret
        for number in range(rounds):
            notify(f"measuring {len(turns)} candidates, round {number + 1} of {rounds}", number / rounds)
            for turn in order.sample(turns, len(turns)):
                turn.block(seconds / rounds, least=-(-_MIN_SAMPLES // rounds))
        return {turn.candidate.name: turn.finish() for turn in turns}


class _Turn:
    """One candidate's side of the interleaving, in the measuring process."""

    def __init__(self, candidate: Candidate, worker: Worker) -> None:
        self.candidate = candidate
        self._worker = worker
        self._blocks: list[tuple[float, ...]] = []

    def start(self, samples: Dataset, batch_size: int) -> None:
        self._guarded(lambda: self._worker.host(Bench, self.candidate, samples, batch_size))
        self._guarded(lambda: self._worker.invoke("warm_up"))

    def block(self, seconds: float, least: int) -> None:
        self._blocks.append(tuple(self._guarded(lambda: self._worker.invoke("block", seconds, least))))

    def finish(self) -> Measured:
        rss = self._guarded(lambda: self._worker.invoke("peak_rss_bytes"))
        cold = self._guarded(lambda: self._worker.invoke("cold_start"))
        return Measured(self.candidate, tuple(self._blocks), rss, cold)

    def _guarded(self, ask: Callable[[], T]) -> T:
        name = f"measuring '{self.candidate.name}' ({self.candidate.model.path})"
        try:
            return ask()
        except (WorkerDiedError, WorkerRaisedError) as error:
            raise MeasureError("the candidate could not be measured", where=name, got=str(error)) from error
        except MloptError as error:
            raise MeasureError.of(error.problems) from error


def _user() -> int:
    import os

    return os.getuid()
