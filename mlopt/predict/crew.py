"""Who computes shards: a ``Crew``. The one here is so many processes of this machine.

What every crew owes its caller: each shard comes back once, written whole (``ShardRecord``) or given up because too
many of its rows fail (``Abandoned``); a row that ends the process which computes it costs that row and nothing else.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from mlopt.core.errors import MeasureError
from mlopt.core.voice import unheard
from mlopt.core.worker import Worker, WorkerDiedError
from mlopt.predict.records import ShardRecord
from mlopt.predict.shard_worker import Abandoned, Flight, ShardWork, ShardWorker
from mlopt.predict.shards import Fault, Span, apart

Outcome = ShardRecord | Abandoned
_DEATHS = 3
"""So often a worker may die over one shard for no reason that is found."""


class Crew(Protocol):
    """Computes shards."""

    workers: int
    """How many are computed at a time."""

    def compute(self, work: ShardWork, spans: Sequence[Span], folder: Path) -> Generator[Outcome, None, None]:
        """Yield what becomes of each shard, as it is done; raises ``MloptError`` where no work can be done any more.

        ``folder`` is for what is of no use afterwards, such as logs. Closing the iterator ends all work.
        """
        ...


class LocalCrew:
    """Processes of this machine, each with the model open; a thread of this one waits for each."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def compute(self, work: ShardWork, spans: Sequence[Span], folder: Path) -> Generator[Outcome, None, None]:
        """As ``Crew`` has it."""
        todo: queue.SimpleQueue[Span] = queue.SimpleQueue()
        done: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        for span in spans:
            todo.put(span)
        hands = [Hand(work, folder / f"worker_{number}") for number in range(min(self.workers, len(spans)))]
        threads = [threading.Thread(target=_serve, args=(hand, todo, done)) for hand in hands]
        with ExitStack() as stack:
            for hand, thread in zip(hands, threads, strict=True):
                thread.start()
                stack.callback(thread.join)
                stack.callback(hand.stop)
            for _ in spans:
                outcome = done.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                yield outcome


def _serve(hand: Hand, todo: queue.SimpleQueue[Span], done: queue.SimpleQueue[Outcome | BaseException]) -> None:
    """Compute what is left to do, until nothing is."""
    try:
        with hand:
            while not hand.stopped:
                done.put(hand.shard(todo.get_nowait()))
    except queue.Empty:
        return
    except BaseException as error:  # noqa: BLE001 - raised by the thread that waits for the shards
        if not hand.stopped:
            done.put(error)


class Hand:
    """One worker, and another in its place where it died. Used by one thread; ``stop`` may come from any."""

    _starting = threading.Lock()

    def __init__(self, work: ShardWork, folder: Path) -> None:
        self._work, self._folder = work, folder
        self._flight = Flight(folder / "flight")
        self._worker: Worker | None = None
        self.stopped = False

    def __enter__(self) -> Hand:
        self._folder.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def stop(self) -> None:
        """End the work at hand; the thread that waits for it gets ``WorkerDiedError``."""
        with self._starting:
            self.stopped = True
            if self._worker is not None:
                self._worker.end()

    def shard(self, span: Span) -> Outcome:
        """Compute a shard, whatever dies over it; raises ``MeasureError`` if nothing helps."""
        spared: dict[int, str] = {}
        deaths = 0
        while True:
            try:
                found: Outcome = self._ask("shard", span, dict(spared))
            except WorkerDiedError as error:
                if self.stopped:
                    raise
                culprits = self._culprits([row for row in self._flight.rows if row not in spared])
                spared |= culprits
                deaths += not culprits
                if deaths >= _DEATHS:
                    raise _lost(span, error) from error
                if len(spared) > self._work.max_errors:
                    return abandoned(span, spared)
            else:
                return found

    def _culprits(self, rows: Sequence[int]) -> dict[int, str]:
        """Try again the rows at which a worker died, then in halves: return those that no worker survives."""

        def attempt(part: Sequence[int]) -> Fault | None:
            try:
                self._ask("attempt", part)
            except WorkerDiedError as error:
                if self.stopped:
                    raise
                return Fault(f"its worker died: {error}")
            return None

        return {part[0]: found.message for part, found in apart(rows, attempt) if found is not None}

    def _ask(self, method: str, *args: Any) -> Any:
        try:
            return self._opened().invoke(method, *args)
        except WorkerDiedError:
            self._close()
            raise

    def _opened(self) -> Worker:
        if self._worker is None:
            with self._starting:
                if self.stopped:
                    raise WorkerDiedError("it was stopped")
                (self._folder / "flight").unlink(missing_ok=True)  # what the one before was at
                self._worker = Worker(self._folder / "log.txt", unheard, quiet=True)
            self._worker.host(ShardWorker, self._work, self._folder / "flight")
        return self._worker

    def _close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()


def abandoned(span: Span, spared: dict[int, str]) -> Abandoned:
    """Return a shard that is given up because too many of its rows end their worker."""
    from mlopt.predict.records import RowFault

    return Abandoned(span, tuple(RowFault(row=row, error=message) for row, message in sorted(spared.items())))


def _lost(span: Span, error: Exception) -> MeasureError:
    return MeasureError(
        f"a worker died {_DEATHS} times, and no row alone is the reason",
        where=f"rows {span.start} to {span.stop - 1}", got=str(error),
        fix="give it more memory, or fewer --workers; the same command then goes on",
    )  # fmt: skip
