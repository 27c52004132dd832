"""Who runs when, and for how long: the order of the blocks, and when there are enough of them. No process, no model.

In a round a random order of the candidates runs forward and then backward (A B C C B A), so that whatever drifts
steadily within a round falls on all of them alike. After the first rounds the samples are looked at, and only what is
undecided goes on: three times as many rounds at each look, at most three looks, and never beyond the time allowed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

Notify = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0 to 1."""
Stopped = Literal["decided", "time", "looks"]

SPEAKS_FROM = 7
"""The fewest rounds that support an interval of a ratio at the error rate of one of three looks."""

_AGAIN = 1.1
"""How many times as many rounds there are before the samples are asked again: the answer takes longer with each."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Schedule:
    """How much is measured.

    ``seconds`` and ``rounds`` are those of the first look, timed and for each candidate; it is always completed, since
    fewer rounds support no verdict. ``max_time`` is the wall time, in seconds, beyond which nothing more is begun. The
    rounds of all looks together grow by ``growth`` from look to look. Every candidate has at least ``least`` samples.
    """

    seconds: float
    rounds: int
    max_time: float
    looks: int = 3
    growth: int = 3
    least: int = 60
    seed: int = 0

    @property
    def block_seconds(self) -> float:
        """The time of one block: each candidate has two in a round."""
        return self.seconds / (2 * self.rounds)

    @property
    def block_samples(self) -> int:
        """The least samples in one block."""
        return -(-self.least // (2 * self.rounds))

    def rounds_by(self, look: int) -> int:
        """Return the rounds of all looks up to this one (1 is the first), if time allows."""
        return self.rounds * int(self.growth ** (look - 1))


class Turn(Protocol):
    """One candidate's side of the interleaving. What goes wrong stays in it: ``lost`` then says why."""

    @property
    def name(self) -> str:
        """The candidate's name."""
        ...

    @property
    def lost(self) -> str | None:
        """Why it can run no more, or None."""
        ...

    def open(self) -> None:
        """Start it in a new process and warm it up."""
        ...

    def block(self, seconds: float, least: int, *, settle: bool) -> None:
        """Run one timed block."""
        ...

    def close(self) -> None:
        """End its process."""
        ...


@dataclass(frozen=True)
class Course:
    """What became of a schedule."""

    looks: int
    rounds: int
    stopped: Stopped
    seconds: float


def follow(
    schedule: Schedule,
    turns: Sequence[Turn],
    notify: Notify,
    undecided: Callable[[], Collection[str]] | None = None,
    interim: Callable[[], str] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Course:
    """Run the turns. ``undecided`` names those that need more samples, after each look; without it there is one look.

    A turn that was left out once stays out, so that round i is the same round for all that have one.
    """
    rounds = _Rounds(schedule, notify, interim, clock, clock())
    active, look = list(turns), 0
    stopped: Stopped = "looks"
    while look < schedule.looks:
        target = schedule.rounds_by(look + 1)
        if look > 0:
            target = min(target, rounds.done + rounds.affordable(active))
            if target <= rounds.done:
                stopped = "time"
                break
        rounds.run(active, target, whole=look == 0)
        look += 1
        if undecided is None:
            break
        wanted = set(undecided())
        active = [turn for turn in active if turn.name in wanted and turn.lost is None]
        if not wanted:
            stopped = "decided"
            break
        if len(active) < len(wanted):  # a comparison with what is gone stays undecided
            break
    return Course(look, rounds.done, stopped, rounds.elapsed())


def there_and_back(items: Sequence[Item], order: random.Random) -> list[Item]:
    """Return the items in a random order, and then the same order backwards: A B C C B A."""
    forward = order.sample(items, len(items))
    return forward + forward[::-1]


@dataclass
class _Rounds:
    """The rounds run so far, and how long they took: so many more fit into ``max_time``."""

    schedule: Schedule
    notify: Notify
    interim: Callable[[], str] | None
    clock: Callable[[], float]
    started: float
    done: int = 0
    opening: dict[str, float] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    """Seconds for each candidate: its last start, and all its blocks."""
    shown: str = ""
    shown_at: int = 0
    """What the samples showed when they were last asked, and after how many rounds that was."""

    def __post_init__(self) -> None:
        self._order = random.Random(self.schedule.seed)  # noqa: S311 - the order of blocks, not a secret

    def run(self, turns: Sequence[Turn], target: int, *, whole: bool) -> None:
        """Run rounds in new processes until there are ``target``; only a ``whole`` look goes on beyond ``max_time``."""
        with ExitStack() as stack:
            for number, turn in enumerate(turns, 1):
                self.notify(f"warming up {number} of {len(turns)}", self.done / target)
                stack.callback(turn.close)
                self.opening[turn.name] = self._spent(turn.open)
            before: Turn | None = None
            while self.done < target and (whole or self.elapsed() < self.schedule.max_time):
                self.notify(self._said(turns, target), self.done / target)
                for turn in there_and_back([turn for turn in turns if turn.lost is None], self._order):
                    if turn.lost is None:
                        self._block(turn, settle=turn is not before)
                        before = turn
                self.done += 1

    def affordable(self, turns: Sequence[Turn]) -> int:
        """Return how many more rounds of these turns fit, after they have been started again."""
        left = self.schedule.max_time - self.elapsed() - sum(self.opening[turn.name] for turn in turns)
        a_round = sum(self.running[turn.name] for turn in turns) / self.done
        return max(0, int(left / max(a_round, 1e-9)))

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self.clock() - self.started

    def _block(self, turn: Turn, *, settle: bool) -> None:
        """Run one block; what runs twice in a row needs not settle: its threads and caches are as it left them."""
        seconds, least = self.schedule.block_seconds, self.schedule.block_samples
        spent = self._spent(lambda: turn.block(seconds, least, settle=settle))
        self.running[turn.name] = self.running.get(turn.name, 0.0) + spent

    def _spent(self, what: Callable[[], None]) -> float:
        started = self.clock()
        what()
        return self.clock() - started

    def _said(self, turns: Sequence[Turn], target: int) -> str:
        alive = sum(turn.lost is None for turn in turns)
        said = f"round {self.done + 1} of {target}, {alive} candidate{'' if alive == 1 else 's'}"
        if self.interim is not None and self.done >= max(SPEAKS_FROM, _AGAIN * self.shown_at):
            self.shown, self.shown_at = self.interim(), self.done
        return f"{said}, {self.shown}" if self.shown else said
