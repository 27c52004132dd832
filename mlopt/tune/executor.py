"""Where the work of a study is done: an ``Executor`` takes calls, and gives back what became of each.

``local`` does them in this process, one after the other; ``ray`` spreads them over a cluster that is named. What every
executor owes its caller: a call with ``alone`` set runs while no other call of this study runs on its node; a call
whose node was lost is made again elsewhere; and each answer says where and when it was computed, so that this can be
checked afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class Call:
    """One piece of work: a method of the laboratory, by name, with what it is called with."""

    method: str
    args: tuple[Any, ...] = ()
    """JSON-able."""
    alone: bool = False
    """Whether it measures time: then nothing else runs on its node, which must be of the target's hardware class."""


@dataclass(frozen=True)
class Done:
    """What became of a call."""

    call: Call
    value: Any = None
    """What the method returned, JSON-able; None if it failed."""
    error: str | None = None
    """Why it failed: an error of mlopt in one line, or that its process was lost more often than is tried."""
    node: str = "local"
    began: float = 0.0
    """Seconds since the epoch, by the clock of the node."""
    ended: float = 0.0
    attempts: int = 1


class Laboratory(Protocol):
    """What trials are done in: a recipe that is made ready. Its public methods are what calls name."""

    def close(self) -> None:
        """Take away its folders."""
        ...


class Executor(Protocol):
    """Does calls. Use as a context manager."""

    slots: int
    """How many calls are worth being handed in at a time."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def run(self, calls: Sequence[Call]) -> Iterator[Done]:
        """Yield what becomes of each call, as it is done; raises ``MloptError`` where no work can be done any more."""
        ...


Open = Callable[[], Laboratory]
"""Makes a laboratory, wherever the work is done: a picklable function."""
