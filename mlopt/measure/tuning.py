"""Which of several ways to open a model is fastest on this machine: heats, halving, and a last race that decides.

1. Every change is raced alone against the model as it is, briefly. Of those that may be faster, which a noisy machine
   tells of more, the better half is raced again for longer, as long as there is time, until few are left.
2. Those of them that were faster, and do not touch each other, are combined.
3. The last race, in new processes and with new samples, decides: of many that are no faster one always looks it, so
   nothing that a heat has shown counts. There the intervals hold for all finalists together.

The changes come from a runtime's table; nothing here knows what they mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from mlopt.results.timing import Measuring, Race, Speed
from mlopt.runtimes.base import RuntimeOptions

_FINALISTS = 3
_FIRST = 4
"""So many are raced before it is known what a race takes."""
_HEAT_SECONDS, _LONGER, _LAST_SECONDS = 0.4, 3, 2.0
_HEATS_END = 0.6
"""The share of the time after which no heat is begun."""
_ABOUT_AS_FAST = 1.01
_COPIES = 2
_NO_TIME = "not tried: the time was up"

O = TypeVar("O", bound=RuntimeOptions)  # noqa: E741 - as in runtimes.base


@dataclass(frozen=True)
class Tuned(Generic[O]):
    """What a search came to."""

    options: O | None
    """The fastest; None where nothing is surely faster than the model as it is."""
    changes: str
    """What was changed, or why nothing was."""
    tried: Mapping[str, str]
    """What became of each change, and of what was combined of them."""
    seconds: float
    """What it took."""


def tune(
    base: O, ways: Mapping[str, O], measuring: Measuring, *, seconds: float, objection: Callable[[O], str | None],
    clients: int = 1, at_once: int = 16, clock: Callable[[], float] = time.monotonic,
) -> Tuned[O]:  # fmt: skip
    """Look for the fastest of ``ways``, each named after what it changes in ``base``, the most promising first.

    ``seconds`` is for all of it; but the first heat and the last race are always run. ``objection`` tells why options
    that may be faster cannot be taken. ``clients`` ask at a time, and at most ``at_once`` ways are open at a time.
    Raises ``MeasureError`` if the model as it is cannot be measured.
    """
    search = _Search(base, dict(ways), measuring, seconds=seconds, clients=clients, at_once=at_once, clock=clock)
    finalists = [name for name in search.finalists() if search.allowed(name, objection(search.ways[name]))]
    combined = search.combined(finalists)
    if combined is not None and search.allowed(combined, objection(search.ways[combined])):
        finalists = [combined, *finalists]
    chosen, said = search.decided(finalists[:at_once])
    return Tuned(search.ways[chosen] if chosen else None, said, search.tried, search.spent())


@dataclass
class _Search(Generic[O]):
    base: O
    ways: dict[str, O]
    measuring: Measuring
    seconds: float
    clients: int
    at_once: int
    clock: Callable[[], float]
    tried: dict[str, str] = field(default_factory=dict)
    speeds: dict[str, Speed] = field(default_factory=dict)
    """Of each, in the last race that it ran in."""
    took: tuple[float, float] | None = None
    """Of the last heat: its time for each process, of which it was timed."""

    def __post_init__(self) -> None:
        self.started = self.clock()

    def finalists(self) -> list[str]:
        """Race all, then the better half of those that may be faster, until few are left or the time is up."""
        names, timed = list(self.ways), _HEAT_SECONDS
        while True:
            promising = self._heat(names, timed)
            names = promising[: max(_FINALISTS, len(names) // 2)]
            timed *= _LONGER
            if len(names) <= _FINALISTS or self._fitting(timed) < len(names):
                return names[:_FINALISTS]

    def allowed(self, name: str, objection: str | None) -> bool:
        """Note why a way cannot be taken, if so."""
        if objection is not None:
            self.tried[name] = objection
        return objection is None

    def combined(self, names: Sequence[str]) -> str | None:
        """Put those together that were faster, the best first; of two that touch one option, the better. Name it."""
        parts: list[str] = []
        changes: dict[str, Any] = {}
        for name in names:
            own = self._changes(name)
            if self.speeds[name].median > _ABOUT_AS_FAST and not own.keys() & changes.keys():
                parts.append(name)
                changes |= own
        if len(parts) < 2:
            return None
        try:
            made = type(self.base).model_validate({**dict(self.base), **changes})
        except ValidationError:  # options that exclude each other
            return None
        self.ways[together := " + ".join(parts)] = made
        return together

    def decided(self, names: Sequence[str]) -> tuple[str | None, str]:
        """Hold the finalists against the model as it is; of those about as fast, the fewest changes win."""
        if not names:
            return None, self._nothing_seemed_faster()
        race = self._race(names, _LAST_SECONDS, "in the last race", max_time=max(self._left(), _LAST_SECONDS))
        gains = {name: race.speeds[name].median for name in names if race.gains(name)}
        if not gains:
            return None, _nothing_was_faster(race)
        fast = [name for name, median in gains.items() if median * _ABOUT_AS_FAST >= max(gains.values())]
        best = min(fast, key=lambda name: len(self._changes(name)))
        return best, f"{best}: {race.speeds[best]}"

    def spent(self) -> float:
        """Return the seconds since the start."""
        return self.clock() - self.started

    def _heat(self, names: Sequence[str], timed: float) -> list[str]:
        """Race each, in groups, and return those that may be faster, the best first.

        What the time does not suffice for is told as not tried.
        """
        waiting, found = list(names), list[str]()
        while waiting and (size := min(self.at_once, self._fitting(timed))):
            group, waiting = waiting[:size], waiting[size:]
            race = self._race(group, timed, f"in a heat of {timed:.1f} s")
            found += filter(race.may_gain, group)
        self.tried.update({name: self.tried.get(name, _NO_TIME) for name in waiting})
        return sorted(found, key=lambda name: -self.speeds[name].median)

    def _fitting(self, timed: float) -> int:
        """Return how many can be raced until heats end, at the pace of the last one."""
        if self.took is None:
            return _FIRST
        each = self.took[0] + 2 * max(timed - self.took[1], 0.0)  # as long again is spent to settle
        return max(0, int(self._left(_HEATS_END) / each) - _COPIES)

    def _race(self, names: Sequence[str], timed: float, where: str, max_time: float = 0.0) -> Race:
        began, options = self.clock(), {name: self.ways[name] for name in names}
        race = self.measuring.race_options(options, seconds=timed, max_time=max_time, clients=self.clients)
        self.took = max((self.clock() - began) / (len(names) + _COPIES), 1e-3), timed
        self.speeds |= race.speeds
        self.tried |= {name: f"{speed} {where}" for name, speed in race.speeds.items()}
        self.tried |= {name: f"it could not be measured: {cause}" for name, cause in race.lost.items()}
        return race

    def _left(self, share: float = 1.0) -> float:
        return share * self.seconds - self.spent()

    def _changes(self, name: str) -> dict[str, Any]:
        """Return the options that a way changes."""
        return {key: value for key, value in self.ways[name] if value != getattr(self.base, key)}

    def _nothing_seemed_faster(self) -> str:
        skipped = sum(said == _NO_TIME for said in self.tried.values())
        unsaid = f", and for {skipped} more there was no time" if skipped else ""
        return f"none of {len(self.tried) - skipped} changes seemed faster{unsaid}"


def _nothing_was_faster(race: Race) -> str:
    noise = f"two copies of the model as it is differed by up to {race.noise:.1%}"
    if not race.speeds:
        return "no change that seemed faster could be measured again"
    best = max(race.speeds, key=lambda name: race.speeds[name].median)
    return f"no change is surely faster: the best, {best}, came to {race.speeds[best]}, and {noise}"
