"""A first look at a candidate: does it open, what does it answer to a few samples, and about how long does it take?

One process, for seconds: what crashes or hangs there ends alone, and what answers wrongly, or is far slower than
others, needs no race to be left out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mlopt.core.errors import MeasureError
from mlopt.core.worker import WorkerDiedError, WorkerRaisedError, run_in_worker_for
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


def look(candidate: Candidate, few: Dataset, log: Path, *, patience: float) -> Look:
    """Look at a candidate; raises ``ModelError`` or ``MeasureError`` where there is nothing to see.

    A process that has not ended after ``patience`` seconds is.
    """
    with TemporaryDirectory(prefix="mlopt-look-") as folder:
        try:
            seen = run_in_worker_for(patience, log, _seen, candidate, few, Path(folder))
        except (WorkerDiedError, WorkerRaisedError) as error:
            raise MeasureError("it could not be run", got=str(error)) from error
        outputs = read_outputs(Path(folder), seen["names"])
        return Look({name: np.array(array) for name, array in outputs.items()}, seen["answers"], seen["ms"])


def _seen(candidate: Candidate, few: Dataset, out: Path) -> dict[str, Any]:
    """Be the process."""
    bench = Bench(candidate, few)
    found = saved(*answered(bench.run, few, candidate.model.inputs, candidate.batch_size), out)
    end = time.perf_counter() + _WARM_UP_SECONDS
    while time.perf_counter() < end:
        bench.block(_WARM_UP_SECONDS / 3, _LEAST_CALLS, settle=False)
    windows = (bench.block(_WINDOW_SECONDS, _LEAST_CALLS, settle=False) for _ in range(_WINDOWS))
    return {**found, "ms": min(map(median, windows))}
