"""Shards on a cluster of Ray that this process has joined: a task each, on any node, written by the task.

Every node sees the folder of the run and the data at the same path, and holds the same mlopt. On its node a task does
what the crew of one machine does (``Hand``): the model is open in a child process, which may die. Tasks of nodes that
are lost are begun again elsewhere by Ray. The driver gathers: a shard counts once this machine sees it whole.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlopt
from mlopt.core.errors import MeasureError, MloptError, OutputError, UserError
from mlopt.predict.crew import Hand, Outcome
from mlopt.predict.records import SHARDS, WORK, file_digest, read_shard
from mlopt.predict.shard_worker import Abandoned, ShardWork
from mlopt.predict.shards import Span

_LOG = logging.getLogger(__name__)
_RETRIES = 4
_LOOK_S = 1.0
_HEAD_BYTES = 1 << 20
_hands: dict[str, Hand] = {}
"""Of a process that does tasks: its worker, by the run; it lives on from one task to the next."""


class RayCrew:
    """The nodes of the cluster that ``ray.init`` has joined; ``threads`` are the cores that one shard takes."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._share, self.workers = _room(threads)

    def compute(self, work: ShardWork, spans: Sequence[Span], folder: Path) -> Generator[Outcome, None, None]:
        """As ``Crew`` has it; ``folder`` is not used, for logs stay on their nodes."""
        del folder
        import ray

        task = ray.remote(computed).options(num_cpus=self._share, max_retries=_RETRIES)
        told = ray.put((work, marks(work), mlopt.__version__))
        waiting = iter(spans)
        at_work: dict[Any, Span] = {}
        try:
            while True:
                self._fill(at_work, waiting, task, told)
                if not at_work:
                    return
                done, _ = ray.wait(list(at_work), num_returns=1, timeout=_LOOK_S)
                for ref in done:
                    yield _gathered(ref, at_work.pop(ref), work)
        finally:
            for ref in at_work:
                ray.cancel(ref, force=True)

    def _fill(self, at_work: dict[Any, Span], waiting: Iterator[Span], task: Any, told: Any) -> None:
        """Hand in as many tasks as keep every node busy; nodes come and go."""
        self._share, self.workers = _room(self._threads)
        while len(at_work) < 2 * self.workers and (span := next(waiting, None)) is not None:
            at_work[task.remote(told, span)] = span


def computed(told: tuple[ShardWork, Mapping[str, str], str], span: Span) -> tuple[Outcome, str]:
    """Compute a shard on a node: a task. Returns what became of it, and the node's id."""
    import ray

    work, seen, version = told
    if work.run not in _hands:
        _check(seen, marks(work), version)
        hand = Hand(work, work.output / WORK / f"{os.uname().nodename}_{os.getpid()}_{os.urandom(4).hex()}")
        hand.__enter__()
        _hands[work.run] = hand
    return _hands[work.run].shard(span), ray.get_runtime_context().get_node_id()


def marks(work: ShardWork) -> dict[str, str]:
    """Return what tells the files that workers read from others at their paths: digests, of arrays of their start."""
    found = {str(work.artifact / "mlopt.json"): _digest(work.artifact / "mlopt.json")}
    return found | {str(file): _start(file) for file in work.inputs.values()}


def _digest(file: Path) -> str:
    try:
        return file_digest(file)
    except OSError as error:
        return error.strerror or str(error)


def _start(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            head = hashlib.sha256(stream.read(_HEAD_BYTES)).hexdigest()
            return f"{os.fstat(stream.fileno()).st_size} bytes, {head[:16]}"
    except OSError as error:
        return error.strerror or str(error)


def _check(seen: Mapping[str, str], here: Mapping[str, str], version: str) -> None:
    """Raise ``UserError`` if this node is not fit for the work."""
    fix = "all nodes must see the data and the output folder at one path, and have one version of mlopt"
    if mlopt.__version__ != version:
        raise UserError("a node has another mlopt", where=os.uname().nodename, got=mlopt.__version__, expected=version,
                        fix=fix)  # fmt: skip
    for file, mark in seen.items():
        if here[file] != mark:
            raise UserError("a node does not see the same file", where=f"{os.uname().nodename}: {file}",
                            got=here[file], expected=mark, fix=fix)  # fmt: skip


def _gathered(ref: Any, span: Span, work: ShardWork) -> Outcome:
    """Return what became of a shard, which must be here by now; raises what its task raised."""
    import ray

    try:
        outcome, node = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, MloptError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        raise MeasureError(
            "the cluster lost a shard again and again", where=f"rows {span.start} to {span.stop - 1}",
            got=f"{type(error).__name__}: {str(error).splitlines()[0][:300]}", fix="the same command goes on",
        ) from error  # fmt: skip
    _LOG.debug("shard %d was done on node %s", span.number, node)
    if isinstance(outcome, Abandoned):
        return outcome
    found = read_shard(work.output, span.number)
    if found is None or found.run != work.run:
        raise OutputError("a node wrote a shard that this machine does not see whole", where=str(work.output / SHARDS),
                          got=f"shard {span.number} of node {node[:8]}",
                          fix="put the output folder on a disk that all nodes share")  # fmt: skip
    return found


def _room(threads: int) -> tuple[float, int]:
    """Return the CPUs that a task reserves, and how many tasks the cluster has room for; raises ``UserError``."""
    import ray

    cpus = [float(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    most = max(cpus, default=0.0)
    if most <= 0:
        raise UserError("the cluster has no node with a CPU to give", where="--ray", got=f"{len(cpus)} nodes",
                        fix="start nodes, and run the same command again: what was done is kept")  # fmt: skip
    share = min(float(threads), most)
    return share, max(1, sum(int(each // share) for each in cpus))
