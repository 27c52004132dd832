"""Requests that wait for one model: bounded in rows, joined by what they have in common, never run too late.

Pure: it is told what time it is, in seconds of any one clock, and says what to run now or when to look again.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
_SOON_S = 1e-6
"""What is nearer than this is now: adding what is left to the time may not come to it."""


@dataclass(eq=False)
class Ticket(Generic[T]):
    """One request in the queue."""

    request: T
    rows: int
    key: Hashable
    """Requests of one key may be joined."""
    arrived: float
    deadline: float

    def until(self, delay: float) -> float:
        """Return how long it waits for company: a request in a hurry for no more than half of its time."""
        return min(self.arrived + delay, (self.arrived + self.deadline) / 2)


@dataclass
class QueueTurn(Generic[T]):
    """What is to be done now."""

    batch: list[Ticket[T]] = field(default_factory=list)
    """To be run together; empty if nothing is ready."""
    late: list[Ticket[T]] = field(default_factory=list)
    """Taken out of the queue since their deadline passed."""
    wait_s: float | None = None
    """If nothing is ready: after how long to look again; None is when something arrives."""


class WaitingQueue(Generic[T]):
    """The queue of one model."""

    def __init__(self, max_batch: int, max_delay_s: float, most_rows: int) -> None:
        self._max_batch, self._delay, self._most = max_batch, max_delay_s, most_rows
        self._groups: dict[Hashable, dict[Ticket[T], None]] = {}
        self.rows = 0

    def offer(self, ticket: Ticket[T]) -> bool:
        """Take a request in; False if there is no room."""
        if self.rows + ticket.rows > self._most:
            return False
        self._groups.setdefault(ticket.key, {})[ticket] = None
        self.rows += ticket.rows
        return True

    def drop(self, ticket: Ticket[T]) -> None:
        """Take a request out, if it is still there."""
        group = self._groups.get(ticket.key)
        if group is None or ticket not in group:
            return
        del group[ticket]
        self.rows -= ticket.rows
        if not group:
            del self._groups[ticket.key]

    def take(self, now: float) -> QueueTurn[T]:
        """Return what is to be run now: the group that came first goes first, and a full batch waits no more."""
        turn: QueueTurn[T] = QueueTurn()
        nearest = math.inf
        for key in list(self._groups):
            batch, whole = self._batch(key, now, turn)
            if not batch:
                continue
            ready = min(ticket.until(self._delay) for ticket in batch)
            if whole or now >= ready - _SOON_S:
                turn.batch = batch
                self._take_out(key, batch)
                return turn
            nearest = min(nearest, ready)
        turn.wait_s = None if nearest == math.inf else nearest - now
        return turn

    def _batch(self, key: Hashable, now: float, turn: QueueTurn[T]) -> tuple[list[Ticket[T]], bool]:
        """Return the first requests of a group that fit into one batch, and whether nothing more would."""
        batch: list[Ticket[T]] = []
        rows = 0
        for ticket in list(self._groups[key]):
            if ticket.deadline <= now:
                self.drop(ticket)
                turn.late.append(ticket)
                continue
            if batch and rows + ticket.rows > self._max_batch:
                return batch, True
            batch.append(ticket)
            rows += ticket.rows
            if rows >= self._max_batch:
                return batch, True
        return batch, False

    def _take_out(self, key: Hashable, batch: list[Ticket[T]]) -> None:
        for ticket in batch:
            self.drop(ticket)
        if key in self._groups:  # what is left of a group is younger than the others
            self._groups[key] = self._groups.pop(key)
