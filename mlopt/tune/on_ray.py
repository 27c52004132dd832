"""Calls of a study on a cluster of Ray that is named: spread over its nodes, and done again where a node was lost.

Each node that is alive holds laboratories of its own; nothing outlives this process, and a new one joins anew.
``placement`` decides what runs where, ``ray_pool`` makes it run there.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from mlopt.tune.executor import Call, Done, Open
from mlopt.tune.placement import Waiting, placed
from mlopt.tune.ray_joining import joined
from mlopt.tune.ray_node import CARRIED, prints
from mlopt.tune.ray_pool import Pool, nothing_left

_LOOK_S = 1.0
_CLOSING_S = 20.0
ATTEMPTS = 3


@dataclass(frozen=True)
class RayLimits:
    """How long is waited, and how often is tried."""

    attempts: int = ATTEMPTS
    """How often a call is begun whose process was lost."""
    joining_s: float = 120.0
    """How long nodes have to say what they are; the first time they import much."""
    reserving_s: float = 600.0
    """How long a measurement waits for other jobs of the cluster to leave a machine."""
    without_nodes_s: float = 60.0
    """How long is waited for new nodes once there are none."""


@dataclass
class _Job:
    """A call that is not done yet."""

    call: Call
    attempts: int = 0
    avoid: frozenset[str] = frozenset()
    node: str = ""
    """Where it is placed; empty while it waits."""
    since: float = 0.0
    reserving: list[Any] = field(default_factory=list)
    """What is waited for before it begins."""
    working: Any = None
    """What is waited for once it has begun."""

    @property
    def awaited(self) -> list[Any]:
        return self.reserving or ([] if self.working is None else [self.working])


class RayExecutor:
    """Does calls on the cluster at ``address`` (``HOST:PORT``).

    ``shared`` is a folder that every node must see, such as the cache (None where the cache is not shared as a folder),
    ``files`` what the recipe names; ``threads`` are the cores that one call uses. Entering raises ``UserError`` where
    the cluster cannot be joined, or where a node lacks something.
    """

    def __init__(
        self, address: str, open_: Open, *, shared: Path | None = None, files: Sequence[Path] = (), threads: int = 1,
        limits: RayLimits | None = None,
    ) -> None:  # fmt: skip
        self.slots = 1
        self._address, self._open, self._threads = address, open_, threads
        self._shared, self._files = shared, files
        self._limits = limits or RayLimits()
        self._held = contextlib.ExitStack()
        self._target_seen = False

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(joined(self._address))
            seen = [*self._files, *stack.enter_context(_planted(self._shared))]
            environment = {name: os.environ.get(name) for name in CARRIED}
            self._pool = Pool(self._open, prints(seen), environment, self._threads)
            self._pool.take_up(self._limits.joining_s)
            self._pool.check()
            stack.callback(self._pool.close, _CLOSING_S)
            self._held = stack.pop_all()
        self._count()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _count(self) -> None:
        places = self._pool.places()
        self.slots = max(1, sum(place.slots for place in places))
        self._target_seen = self._target_seen or any(place.of_target for place in places)

    def run(self, calls: Sequence[Call]) -> Iterator[Done]:
        """Yield what becomes of each call, as it is done.

        Raises ``UserError`` where no node is left for a call, or where no laboratory can be opened.
        """
        jobs = {number: _Job(call) for number, call in enumerate(calls)}
        idle_since = time.monotonic()
        try:
            while jobs:
                self._pool.take_up()
                self._count()
                self._let_go_of_gone(jobs)
                self._place(jobs)
                if any(job.node for job in jobs.values()):
                    idle_since = time.monotonic()
                    yield from self._finished(jobs)
                else:
                    self._wait_for_nodes(jobs, idle_since)
        finally:
            for job in jobs.values():
                if job.node:
                    self._pool.free(job.node, job.working, keep=False)

    def _place(self, jobs: dict[int, _Job]) -> None:
        waiting = [Waiting(number, job.call.alone, job.avoid) for number, job in jobs.items() if not job.node]
        for number, node in placed(waiting, self._pool.places()):
            job = jobs[number]
            job.node, job.since, job.attempts = node, time.monotonic(), job.attempts + 1
            job.reserving = self._pool.occupy(node, job.call.alone)
            if not job.reserving:
                job.working = self._pool.begin(node, job.call)

    def _let_go_of_gone(self, jobs: dict[int, _Job]) -> None:
        """Give up reservations on nodes that are gone; what has begun there says itself that it is lost."""
        for job in jobs.values():
            if job.node and job.reserving and job.node not in set(self._pool):
                job.node, job.reserving, job.attempts = "", [], job.attempts - 1

    def _finished(self, jobs: dict[int, _Job]) -> Iterator[Done]:
        """Wait a moment for whatever ends first, and yield the calls that are done."""
        import ray

        awaited = {ref: number for number, job in jobs.items() for ref in job.awaited}
        ready, _ = ray.wait(list(awaited), num_returns=1, timeout=_LOOK_S)
        for ref in ready:
            done = self._heard(jobs[awaited[ref]], ref)
            if done is not None:
                del jobs[awaited[ref]]
                yield done
        for number in [number for number, job in jobs.items() if self._is_overdue(job)]:
            done = self._lost(jobs[number], f"other jobs kept its machine busy for {self._limits.reserving_s:.0f} s")
            if done is not None:
                del jobs[number]
                yield done

    def _is_overdue(self, job: _Job) -> bool:
        return bool(job.reserving) and time.monotonic() - job.since > self._limits.reserving_s

    def _heard(self, job: _Job, ref: Any) -> Done | None:
        answer = self._pool.answer(ref)
        if isinstance(answer, str):
            return self._lost(job, answer)
        if ref in job.reserving:
            job.reserving.remove(ref)
            if not job.reserving:
                job.working = self._pool.begin(job.node, job.call)
            return None
        node = self._pool.name(job.node)
        self._pool.free(job.node, ref, keep=True)
        job.node = ""
        return Done(job.call, node=node, attempts=job.attempts, **answer)

    def _lost(self, job: _Job, why: str) -> Done | None:
        """Put a call back among those that wait, unless it was tried often enough."""
        node = self._pool.name(job.node)
        self._pool.free(job.node, job.working, keep=False)
        if job.working is not None:
            self._pool.count_loss(job.node)
        job.avoid, job.node, job.working, job.reserving = job.avoid | {job.node}, "", None, []
        if job.attempts < self._limits.attempts:
            return None
        now = time.time()
        error = f"it was lost {job.attempts} times, the last time on node {node}: {why}"
        return Done(job.call, error=error, node=node, began=now, ended=now, attempts=job.attempts)

    def _wait_for_nodes(self, jobs: dict[int, _Job], since: float) -> None:
        """Nothing runs, and nothing can be placed: some node of the right kind has to come."""
        measures = any(job.call.alone for job in jobs.values())
        of_other_classes = measures and not self._target_seen and list(self._pool)
        if of_other_classes or time.monotonic() - since > self._limits.without_nodes_s:
            raise nothing_left(
                "no node of the cluster is of the target's hardware class" if list(self._pool) else
                "no node of the cluster is left", self._pool,
            )  # fmt: skip
        time.sleep(_LOOK_S)


@contextlib.contextmanager
def _planted(folder: Path | None) -> Iterator[list[Path]]:
    """Put a file into the folder that only it can hold: whoever reads it sees this folder, and no other of its name."""
    if folder is None:
        yield []
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = folder / f".mlopt-study-{uuid.uuid4().hex}"
    token.write_text(uuid.uuid4().hex, encoding="utf-8")
    try:
        yield [token]
    finally:
        token.unlink(missing_ok=True)
