"""The nodes of a cluster that a study works on, with its actors on them.

A node is taken up once it has said what it is: that it has this version of mlopt, and sees the files of the study.
Every actor is bound to its node and reserves what it may use there, so Ray keeps other jobs off; before a measurement
what is left of the machine is reserved as well.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlopt.core.errors import MloptError, Problem, UserError
from mlopt.tune.executor import Call, Open
from mlopt.tune.placement import NodeState
from mlopt.tune.ray_joining import ClusterNode, nodes_alive
from mlopt.tune.ray_node import LaboratoryHost, NodeFacts, facts, hardware_class

_LOG = logging.getLogger(__name__)
_LOST_IN_A_ROW = 3


@dataclass
class _Node:
    """A node that is in use."""

    known: ClusterNode
    facts: NodeFacts
    slots: int
    share: float
    """The CPUs that one actor reserves."""
    idle: list[Any] = field(default_factory=list)
    busy: dict[Any, Any] = field(default_factory=dict)
    """The actor that works on each answer that is waited for."""
    holders: list[Any] = field(default_factory=list)
    """The actors that only keep other jobs off."""
    placed: int = 0
    measuring: bool = False
    lost: int = 0
    """How many of its actors were lost since it last gave an answer."""

    @property
    def name(self) -> str:
        return f"{self.facts.host} ({self.known.id[:8]})"


class Holder:
    """Reserves CPUs, and does nothing."""

    def held(self) -> bool:
        """Return once they are reserved."""
        return True


class Pool:
    """Takes up nodes, starts work on them, and lets go of those that died."""

    def __init__(
        self, open_: Open, seen: Mapping[str, str], environment: Mapping[str, str | None], threads: int
    ) -> None:
        self._made_with = open_, environment
        self._seen = seen
        self._threads = threads
        self._nodes: dict[str, _Node] = {}
        self._asked: dict[Any, ClusterNode] = {}
        self._left_out: dict[str, str] = {}
        self._unheard: Counter[str] = Counter()

    def take_up(self, wait_s: float = 0.0) -> None:
        """Ask nodes that are new, hear those that have been asked, and let go of those that are gone."""
        import ray

        alive = {node.id: node for node in nodes_alive()}
        for gone in self._nodes.keys() - alive.keys():
            _LOG.warning("node %s is gone", self._nodes.pop(gone).name)
        known = self._nodes.keys() | self._left_out.keys() | {node.id for node in self._asked.values()}
        for node in (node for name, node in alive.items() if name not in known):
            asking = ray.remote(facts).options(num_cpus=0, max_retries=0, scheduling_strategy=_on(node.id))
            self._asked[asking.remote(dict(self._seen))] = node
        if self._asked:
            heard, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=wait_s)
            for ref in heard:
                self._heard(ref, self._asked.pop(ref))

    def _heard(self, ref: Any, node: ClusterNode) -> None:
        import ray

        import mlopt

        try:
            found: NodeFacts = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            self._leave_out(node, f"mlopt does not run there: {_last_line(error)}")
            return
        except ray.exceptions.RayError as error:  # it may be dying, with nobody having noticed yet
            self._unheard[node.id] += 1
            if self._unheard[node.id] >= _LOST_IN_A_ROW:
                self._leave_out(node, f"it cannot say what it is: {_first_line(error)}")
            return
        if found.version != mlopt.__version__:
            self._leave_out(node, f"{found.host} has mlopt {found.version}, not {mlopt.__version__}")
        elif found.differs:
            self._leave_out(node, f"{found.host} does not see the same files: {'; '.join(found.differs)}")
        else:
            share = min(float(self._threads), node.cpus)
            self._nodes[node.id] = _Node(node, found, max(1, int(node.cpus // share)), share)

    def _leave_out(self, node: ClusterNode, reason: str) -> None:
        self._left_out[node.id] = reason
        _LOG.warning("node %s is left out: %s", node.id[:8], reason)

    def check(self) -> None:
        """Raise ``UserError`` if a node that is alive cannot be used: all that is wrong with the cluster, at once."""
        if self._left_out:
            fix = (
                "install mlopt on every node; recipe, data and cache lie at one path that all nodes share (docs/ray.md)"
            )
            raise UserError.of(
                Problem("a node of the cluster cannot be used", where=f"node {name[:8]}", got=why, fix=fix)
                for name, why in self._left_out.items()
            )

    def describe(self) -> str:
        """Say which nodes there are, and of what class."""
        told = [
            f"{node.name}: {node.facts.hardware[0]}, {node.facts.hardware[2]} cores" for node in self._nodes.values()
        ]
        return "; ".join(told) or "none"

    def places(self) -> list[NodeState]:
        """Return the nodes in use, for a decision."""
        target = self._target()
        return [
            NodeState(
                name, node.facts.machine, node.slots, node.facts.hardware == target,
                running=node.placed, measuring=node.measuring,
            )
            for name, node in self._nodes.items()
        ]  # fmt: skip

    def _target(self) -> tuple[str, tuple[str, ...], int]:
        """Return the class on which measurements count: that of the named nodes, otherwise of this machine."""
        named = {node.facts.hardware for node in self._nodes.values() if node.known.named_target}
        if len(named) > 1:
            raise UserError(
                "the nodes with the resource `mlopt_target` are not of one class", got=self.describe(),
                fix="give it to nodes of one kind only: their times are compared",
            )  # fmt: skip
        return next(iter(named), None) or hardware_class()

    def name(self, node: str) -> str:
        """Return a node's name for people, which is also its own among all nodes."""
        return self._nodes[node].name if node in self._nodes else node[:8]

    def occupy(self, node: str, alone: bool) -> list[Any]:
        """Count a call on a node from now on. Return what to wait for before it begins: reservations of its machine."""
        here = self._nodes[node]
        here.placed, here.measuring = here.placed + 1, alone
        if not alone:
            return []
        import ray

        waited_for = []
        for each in (each for each in self._nodes.values() if each.facts.machine == here.facts.machine):
            rest = each.known.cpus - each.share * (len(each.idle) + len(each.busy))
            if each is here and not each.idle:
                rest -= each.share  # which the actor that is yet to be made takes
            if rest > 0:
                holding = ray.remote(Holder).options(num_cpus=rest, scheduling_strategy=_on(each.known.id))
                here.holders.append(holding.remote())
                waited_for.append(here.holders[-1].held.remote())
        return waited_for

    def begin(self, node: str, call: Call) -> Any:
        """Start a call on a node that is occupied for it; return what ``ray.wait`` waits for."""
        import ray

        here = self._nodes[node]
        if not here.idle:
            making = ray.remote(LaboratoryHost).options(num_cpus=here.share, scheduling_strategy=_on(node))
            here.idle.append(making.remote(*self._made_with))
        actor = here.idle.pop()
        ref = actor.do.remote(call.method, list(call.args))
        here.busy[ref] = actor
        return ref

    def free(self, node: str, ref: Any, *, keep: bool) -> None:
        """A call ended, or is given up: then its actor ends, too. ``ref`` is None before it began."""
        here = self._nodes.get(node)
        if here is None:
            return
        here.placed, here.measuring = here.placed - 1, False
        actor = here.busy.pop(ref, None)
        if keep:
            here.lost = 0
            here.idle.append(actor)
        for each in here.holders if keep or actor is None else (*here.holders, actor):
            _end(each)
        here.holders.clear()

    def count_loss(self, node: str) -> None:
        """Leave a node out on which several calls in a row were lost."""
        here = self._nodes.get(node)
        if here is None:
            return
        here.lost += 1
        if here.lost >= _LOST_IN_A_ROW:
            self._leave_out(here.known, f"{here.lost} calls in a row were lost on it")
            for each in self._nodes.pop(node).idle:
                _end(each)

    def close(self, patience_s: float) -> None:
        """Let the laboratories take away what they made."""
        import ray

        closing = [actor.close.remote() for node in self._nodes.values() for actor in node.idle]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=patience_s)

    def answer(self, ref: Any) -> dict[str, Any] | str:
        """Return what a call came to, or in words how its process was lost.

        Raises the ``UserError`` for which no laboratory can be opened, and what is a fault of mlopt as it is.
        """
        import ray

        try:
            outcome: dict[str, Any] | bool = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from None
        except ray.exceptions.RayError as error:
            return _first_line(error)
        if isinstance(outcome, bool):
            return {}
        if (problems := outcome.get("unopened")) is not None:
            raise UserError.of(Problem(**each) for each in problems)
        return outcome

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)


def nothing_left(what: str, pool: Pool) -> MloptError:
    """Return the error of a study that has nowhere to go on."""
    return UserError(
        what,
        got=f"nodes: {pool.describe()}",
        fix="start nodes (docs/ray.md) and run the command again: what was done is kept",
    )


def _on(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)


def _end(actor: Any) -> None:
    import ray

    try:
        ray.kill(actor)
    except ray.exceptions.RayError as error:
        _LOG.debug("an actor was gone already: %s", error)


def _last_line(error: Exception) -> str:
    """Return the last line of a traceback, which is the error itself."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _first_line(error: Exception) -> str:
    """Return the first line of what Ray says, which names what happened; its others repeat the actor's data."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
