"""Finding as many nodes as a tool and a loader accept together, where all of them at once are refused.

A node can be at fault by itself, or only beside another one, so nothing is concluded from parts that were tried alone:
what is accepted grows, half of the rest at a time, and whatever is added was tried with all that was accepted before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

MOST_ATTEMPTS = 100
"""Each writes and loads a model. They find a dozen nodes at fault among a thousand."""


@dataclass(frozen=True)
class Fit:
    """A set that was accepted as a whole, and why each other node is not in it."""

    taken: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)


def largest(
    names: Sequence[str], attempt: Callable[[tuple[str, ...]], str | None], *, attempts: int = MOST_ATTEMPTS
) -> Fit:
    """Return a set to which no other node can be added, as far as so many ``attempts`` tell.

    ``attempt`` returns why it refuses a set, or None. What is left undecided counts as refused.
    """
    taken: tuple[str, ...] = ()
    refused: dict[str, str] = {}
    waiting = [tuple(names)] if names else []
    fault = ""
    while waiting and attempts > 0:
        group = waiting.pop()
        found = attempt((*taken, *group))
        attempts -= 1
        if found is None:
            taken += group
            continue
        fault = found
        if len(group) == 1:
            refused[group[0]] = fault
        else:
            half = len(group) // 2
            waiting += [group[half:], group[:half]]
    refused |= {name: f"in a group that failed: {fault}" for group in waiting for name in group}
    return Fit(taken, {name: refused[name] for name in names if name in refused})
