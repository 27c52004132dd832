"""Where the time of one inference goes, operator by operator, by the runtime's own profile, and in which precision.

A profile slows what it watches, so it explains a latency and never replaces one. A runtime that keeps none is told by
name.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from mlopt.core.errors import MeasureError, MloptError
from mlopt.core.worker import Worker, WorkerDiedError, WorkerRaisedError
from mlopt.data.dataset import Dataset
from mlopt.measure.bench import feeds_of
from mlopt.measure.candidate import Candidate
from mlopt.measure.latency import alone
from mlopt.measure.schedule import Notify
from mlopt.results.figures import LayerPrecision, OperatorTime
from mlopt.results.timing import Layer, NodeTime
from mlopt.runtimes.base import Profile, RuntimeOptions
from mlopt.runtimes.table import runtime_named

_SECONDS = 0.5
_TIMEOUT = 1200.0


@dataclass(frozen=True)
class Profiles:
    """What runtimes tell of models, by name, and in words what they could not."""

    operators: Mapping[str, tuple[OperatorTime, ...]]
    """The most time first."""
    layers: Mapping[str, tuple[LayerPrecision, ...]]
    notes: tuple[str, ...]


def profiles(candidates: Sequence[Candidate], samples: Dataset, logs: Path, notify: Notify) -> Profiles:
    """Time each model operator by operator, one after the other, and ask in which precision its layers run."""
    if not candidates:
        return Profiles({}, {}, ())
    operators: dict[str, tuple[OperatorTime, ...]] = {}
    precisions: dict[str, tuple[LayerPrecision, ...]] = {}
    notes: list[str] = []
    with alone(notify):
        for number, each in enumerate(candidates):
            notify(f"profiling {each.name}", number / len(candidates))
            nodes: list[NodeTime] = []
            try:
                nodes = profile(each, samples, _SECONDS, logs / f"operators-{number}.log")
                operators[each.name] = by_type(nodes)
            except MloptError as error:
                notes.append(f"the operators of {each.name} were not timed: {error.problems[0].what}")
            if not _precisions_matter(each, nodes):
                continue
            try:
                found = layers(each, logs / f"layers-{number}.log")
            except MloptError as error:
                notes.append(f"in which precision {each.name} runs is not known: {error.problems[0].what}")
            else:
                precisions |= {each.name: by_precision(found, nodes)} if found else {}
    return Profiles(operators, precisions, tuple(notes))


def profile(
    candidate: Candidate, samples: Dataset, seconds: float, log: Path, max_time: float = math.inf
) -> list[NodeTime]:
    """Run the candidate for about ``seconds`` in a process of its own; warming up comes first and is not counted.

    Returns the nodes in the order in which they first ran. Raises ``MeasureError``: for a runtime without a
    profile, too, or one that takes longer than ``max_time`` seconds in all.
    """
    _profile_of(candidate)
    end = time.monotonic() + max_time
    with tempfile.TemporaryDirectory(prefix="mlopt-profile-") as folder, Worker(log, quiet=True) as worker:
        try:
            worker.host(_Profiled, candidate, samples, folder, timeout=min(_TIMEOUT, max_time))
            left = max(0.0, end - time.monotonic())
            nodes: list[NodeTime] = worker.invoke("nodes", seconds, timeout=min(_TIMEOUT + 20 * seconds, left))
        except (WorkerDiedError, WorkerRaisedError) as error:
            raise MeasureError("the model could not be profiled", where=candidate.name, got=str(error)) from error
    return nodes


def layers(candidate: Candidate, log: Path) -> list[Layer]:
    """Return what its runtime makes of the candidate, in a process of its own; nothing of a runtime that does not tell.

    Raises ``MeasureError``, and what the runtime raises.
    """
    if runtime_named(candidate.deployable.runtime).layers is None:
        return []
    with Worker(log) as worker:
        try:
            worker.host(_Loaded, candidate, timeout=_TIMEOUT)
            found: list[Layer] = worker.invoke("layers", timeout=_TIMEOUT)
        except (WorkerDiedError, WorkerRaisedError) as error:
            raise MeasureError("its layers could not be read", where=candidate.name, got=str(error)) from error
    return found


def by_precision(layers: Iterable[Layer], nodes: Iterable[NodeTime]) -> tuple[LayerPrecision, ...]:
    """Return how many layers run in each precision, and their share of the time of all nodes; the most time first."""
    count = Counter(each.precision for each in layers)
    spent: dict[str, float] = defaultdict(float)
    for node in nodes:
        spent[node.precision] += node.ms
    total = sum(spent.values()) if any(spent) else 0.0
    found = (
        LayerPrecision(precision=name, layers=number, share=spent[name] / total if total > 0 else None)
        for name, number in count.items()
    )
    return tuple(sorted(found, key=lambda one: (-(one.share or 0.0), -one.layers, one.precision)))


def by_type(nodes: Iterable[NodeTime]) -> tuple[OperatorTime, ...]:
    """Return the time of all operators of each type, the most time first."""
    count: Counter[str] = Counter()
    spent: dict[str, float] = defaultdict(float)
    for node in nodes:
        count[node.op_type] += 1
        spent[node.op_type] += node.ms
    return tuple(
        OperatorTime(op_type=op_type, nodes=count[op_type], ms=ms)
        for op_type, ms in sorted(spent.items(), key=lambda item: (-item[1], item[0]))
    )


def _precisions_matter(candidate: Candidate, nodes: Sequence[NodeTime]) -> bool:
    """Whether layers say what times leave open: not of a runtime whose times of nodes are told without a precision."""
    timed = runtime_named(candidate.deployable.runtime).profile is not None
    return any(node.precision for node in nodes) or not timed


class _Profiled:
    """The candidate's side. What its runtime writes down goes with ``folder``, even if this process dies."""

    def __init__(self, candidate: Candidate, samples: Dataset, folder: str) -> None:
        tempfile.tempdir = folder
        self._candidate, self._feeds = candidate, cycle(feeds_of(candidate, samples))

    def nodes(self, seconds: float) -> list[NodeTime]:
        """Warm up, run, and read what was written down."""
        candidate = self._candidate
        return _profile_of(candidate)(candidate.model, candidate.options, self._feeds, seconds)


class _Loaded:
    """The candidate's side, where it is only loaded."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate

    def layers(self) -> list[Layer]:
        """Ask the runtime."""
        told = runtime_named(self._candidate.deployable.runtime).layers
        return told(self._candidate.model, self._candidate.options) if told is not None else []


def _profile_of(candidate: Candidate) -> Profile[RuntimeOptions]:
    runtime = runtime_named(candidate.deployable.runtime)
    if runtime.profile is None:
        raise MeasureError(f"the runtime {runtime.name} has no profile per operator", where=candidate.name)
    return runtime.profile
