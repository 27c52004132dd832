"""A first look at a candidate: does it open, what does it answer to a few samples, and about how long does it take?

In a process, for seconds: what crashes or hangs there ends alone, and what answers wrongly, or is far slower than
others, needs no race to be left out. Candidates of one runtime are looked at one after the other in one process, as
long as that lives: to start one, and to import the library, takes as long as the look.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np

from mlopt.core.errors import MeasureError
from mlopt.core.worker import Worker, WorkerDiedError, WorkerRaisedError
from mlopt.data.dataset import Dataset
from mlopt.measure.bench import Bench
from mlopt.measure.candidate import Candidate
from mlopt.measure.outputs import answered, read_outputs, saved
from mlopt.runtimes.base import Array

PATIENCE = 60.0
"""Seconds after which what should take a moment counts as hanging."""
_WARM_UP_SECONDS, _LEAST_CALLS = 0.1, 3
_WINDOWS, _WINDOW_SECONDS = 6, 0.03


@dataclass(frozen=True)
class Look:
    """What was seen."""

    outputs: Mapping[str, Array]
    """Of the few samples, by name, each [samples, ...] or ragged."""
    answers: Mapping[str, str]
    """Of what type and rank each output of one inference is."""
    ms: float
    """Of one inference, in one process alone: the least median of several short windows, since what else runs on the
    machine only ever adds; right within a third or so."""


class Looks:
    """Looks at candidates on the same few samples; a context manager, which ends its processes."""

    def __init__(self, few: Dataset, log: Path) -> None:
        self._few, self._log = few, log
        self._workers: dict[str, Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._workers):
            self._end(name)

    def at(self, candidate: Candidate, *, patience: float) -> Look:
        """Look at a candidate; raises ``ModelError`` or ``MeasureError`` where there is nothing to see.

        A process that has not answered after ``patience`` seconds is ended. One that dies, and has looked at another
        candidate before, may have died of that: this one is looked at once more, in a new process.
        """
        with TemporaryDirectory(prefix="mlopt-look-") as folder:
            try:
                seen = self._asked(candidate, patience, Path(folder))
            except (WorkerDiedError, WorkerRaisedError) as error:
                raise MeasureError("it could not be run", got=str(error)) from error
            outputs = read_outputs(Path(folder), seen["names"])
            return Look({name: np.array(array) for name, array in outputs.items()}, seen["answers"], seen["ms"])

    def _asked(self, candidate: Candidate, patience: float, out: Path) -> dict[str, Any]:
        name = candidate.deployable.runtime
        used = name in self._workers
        if not used:
            self._workers[name] = Worker(self._log)
        started = time.monotonic()
        try:
            return self._workers[name].call_for(patience, _seen, candidate, self._few, out)
        except WorkerDiedError:
            self._end(name)
            if not used or time.monotonic() - started >= patience:
                raise
            return self._asked(candidate, patience, out)

    def _end(self, name: str) -> None:
        self._workers.pop(name).close()


def look(candidate: Candidate, few: Dataset, log: Path, *, patience: float) -> Look:
    """Look at one candidate, as ``Looks.at`` does."""
    with Looks(few, log) as looks:
        return looks.at(candidate, patience=patience)


def _seen(candidate: Candidate, few: Dataset, out: Path) -> dict[str, Any]:
    """Be the process."""
    with closing(Bench(candidate, few)) as bench:
        found = saved(*answered(bench.run, few, candidate.model.inputs, candidate.batch_size), out)
        end = time.perf_counter() + _WARM_UP_SECONDS
        while time.perf_counter() < end:
            bench.block(_WARM_UP_SECONDS / 3, _LEAST_CALLS, settle=False)
        windows = [bench.block(_WINDOW_SECONDS, _LEAST_CALLS, settle=False) for _ in range(_WINDOWS)]
    return {**found, "ms": min(map(median, windows))}
