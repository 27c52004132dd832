"""Which call of a study runs next, and on which node: decided from what runs where, and nothing else.

Calls go in their order, spread over the nodes that have least to do. A call that measures needs a whole machine: it
takes one of the target's class, lets what runs there end, and keeps everything else of the study off meanwhile. Nodes
that share a machine (containers, or several of Ray's nodes on one) share its caches and its clock rate, so they are
kept off as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class NodeState:
    """A node as far as a decision needs to know it."""

    node: str
    machine: str
    """Nodes of one machine have the same."""
    slots: int
    """How many calls may run on it at a time."""
    of_target: bool
    """Whether what is measured on it counts."""
    running: int = 0
    """Calls that run on it now."""
    measuring: bool = False
    """Whether the one that runs measures."""


@dataclass(frozen=True)
class Waiting:
    """A call that is not placed yet."""

    number: int
    alone: bool
    avoid: frozenset[str] = field(default_factory=frozenset)
    """The nodes on which it was lost: it is tried on another one, where there is one."""


def placed(waiting: Sequence[Waiting], places: Sequence[NodeState]) -> list[tuple[int, str]]:
    """Return which calls start now and where: the numbers of calls, with the names of nodes.

    A measurement that finds no machine idle claims the one with least to do, on which nothing new starts from then on.
    """
    running = {place.node: place.running for place in places}
    closed = {place.machine for place in places if place.measuring}
    started = []
    for call in waiting:
        found = _quietest(call, places, running, closed) if call.alone else _freest(call, places, running, closed)
        if found is None:
            continue
        idle = not any(running[each.node] for each in places if each.machine == found.machine)
        if call.alone:
            closed.add(found.machine)
        if idle or not call.alone:
            running[found.node] += 1
            started.append((call.number, found.node))
    return started


def _freest(
    call: Waiting, places: Sequence[NodeState], running: Mapping[str, int], closed: set[str]
) -> NodeState | None:
    """Return the node with the smallest share of its slots taken, of those with one left."""
    fit = _elsewhere(call, [each for each in places if each.slots])
    free = [each for each in fit if each.machine not in closed and running[each.node] < each.slots]
    return min(free, key=lambda each: running[each.node] / each.slots, default=None)


def _quietest(
    call: Waiting, places: Sequence[NodeState], running: Mapping[str, int], closed: set[str]
) -> NodeState | None:
    """Return the node of the target's class on whose machine least runs."""

    def on_the_machine(place: NodeState) -> int:
        return sum(running[each.node] for each in places if each.machine == place.machine)

    fit = _elsewhere(call, [each for each in places if each.slots and each.of_target])
    return min((each for each in fit if each.machine not in closed), key=on_the_machine, default=None)


def _elsewhere(call: Waiting, fit: list[NodeState]) -> list[NodeState]:
    """Return those on which the call was not lost, if there are any: its turn there is worth waiting for."""
    return [each for each in fit if each.node not in call.avoid] or fit
