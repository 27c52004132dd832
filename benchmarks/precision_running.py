"""Running the contenders of both benchmarks: their outputs, and their times in one interleaved run.

A deployable runs here, as mlopt runs it. What another tool made for OpenVINO runs in a server in that tool's own
environment, through ``Remote``. Both are hosted by a worker process, and take turns in mlopt's own schedule.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from precision_contenders import SCRIPTS, THREADS, Contender, Elsewhere, FailedError, last_line, surroundings
from precision_models import save

from mlopt.core.errors import MloptError
from mlopt.core.worker import Worker, WorkerDiedError, WorkerRaisedError, run_in_worker
from mlopt.data.dataset import Dataset
from mlopt.data.feeds import batches
from mlopt.formats.model import Model
from mlopt.measure.bench import SETTLE_SECONDS, WARM_UP_CALLS, WARM_UP_SECONDS, Bench
from mlopt.measure.candidate import Candidate
from mlopt.measure.latency import alone
from mlopt.measure.outputs import read_outputs, write_outputs
from mlopt.measure.schedule import Schedule, follow
from mlopt.runtimes.base import Array

ROUNDS, LEAST = 10, 60
MOST_CALLS = 2000
BLOCK_SECONDS = 600.0
"""After so long a process counts as hanging."""
Outputs = Mapping[str, Array]
WENT_WRONG = (WorkerDiedError, WorkerRaisedError, MloptError)


def whole_samples(dataset: Dataset, model: Model, path: Path) -> Path:
    """Write the samples for scripts that know no batch axis: every array is [samples, *the input's whole shape]."""
    feeds = [feed for feed, _ in batches(dataset, model.inputs, 1)]
    save(path, {name: np.stack([feed[name] for feed in feeds]) for name in feeds[0]})
    return path


def outputs(contender: Contender, samples: Dataset, whole: Path, like: Outputs) -> dict[str, Array]:
    """Run a contender over all samples, one at a time; raises ``FailedError``.

    ``whole`` holds the same samples for a remote one, whose outputs get names and shapes from ``like``.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "log"
        try:
            if not isinstance(contender.runs, Elsewhere):
                candidate = Candidate(contender.name, contender.runs)
                names = run_in_worker(log, write_outputs, candidate, samples, 1, folder)["names"]
                return {key: np.array(array) for key, array in read_outputs(folder, names).items()}
            found = run_in_worker(log, remote_outputs, contender.runs, whole, folder / "out.npz")
        except WENT_WRONG as error:
            raise FailedError(in_a_line(error)) from error
    return {key: array.reshape(like[key].shape) for key, array in zip(like, found, strict=True)}


def remote_outputs(model: Elsewhere, whole: Path, out: Path) -> list[Array]:
    """Return a remote model's outputs in their order, each [samples, ...]."""
    Remote(model, whole).ask(outputs=str(out), samples=str(whole))
    with np.load(out, allow_pickle=False) as archive:
        return [archive[name] for name in archive.files]


class Remote:
    """A model in another interpreter, hosted like ``mlopt.measure.bench.Bench``: this side only asks."""

    def __init__(self, model: Elsewhere, whole: Path) -> None:
        server = SCRIPTS / model.server
        command = [str(part) for part in (model.python, server, model.path, THREADS, whole, model.mode)]
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - it lives as long as the server
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env=surroundings(model.python, {}),
        )  # fmt: skip
        self._answer()

    def ask(self, **question: Any) -> Any:
        """Send one line and return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def warm_up(self) -> None:
        """Run for as long as ONNX Runtime may take to become steady."""
        self.block(WARM_UP_SECONDS, WARM_UP_CALLS, settle=False)

    def block(self, seconds: float, least: int, settle: bool) -> list[float]:
        """Return the wall times of inferences, in milliseconds; what it takes to settle is not in them."""
        if settle:
            self.ask(block=[min(SETTLE_SECONDS, seconds), 1, MOST_CALLS])
        times: list[float] = self.ask(block=[seconds, least, MOST_CALLS])
        return times

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            raise ChildProcessError(last_line(self._errors.read()) or f"the server ended with code {code}")
        return json.loads(line)


class Turn:
    """One contender's side of the interleaving; what goes wrong stays in it."""

    def __init__(self, name: str, contender: Contender, samples: Dataset, whole: Path, log: Path) -> None:
        self.name = name
        self.lost: str | None = None
        self.blocks: list[list[float]] = []
        self.seconds = 0.0
        self._contender, self._samples, self._whole, self._log = contender, samples, whole, log
        self._worker: Worker | None = None

    def open(self) -> None:
        """Start it in a new process and warm it up."""
        worker = self._worker = Worker(self._log)
        runs = self._contender.runs
        if isinstance(runs, Elsewhere):
            what: tuple[Any, ...] = (Remote, runs, self._whole)
        else:
            what = (Bench, Candidate(self.name, runs), self._samples)
        self._try(lambda: worker.host(*what, timeout=BLOCK_SECONDS))
        if self.lost is None:
            self._try(lambda: worker.invoke("warm_up", timeout=BLOCK_SECONDS))

    def block(self, seconds: float, least: int, *, settle: bool) -> None:
        """Run one timed block."""
        worker = self._worker
        if worker is not None:
            call = (seconds, least, settle)
            self._try(lambda: self.blocks.append(worker.invoke("block", *call, timeout=BLOCK_SECONDS)))

    def close(self) -> None:
        """End its process."""
        if self._worker is not None:
            self._worker.close()

    def _try(self, step: Callable[[], object]) -> None:
        started = time.monotonic()
        try:
            step()
        except WENT_WRONG as error:
            self.lost = in_a_line(error)
        self.seconds += time.monotonic() - started


@dataclass(frozen=True)
class Race:
    """One interleaved run, by the contenders' names."""

    blocks: Mapping[str, list[list[float]]]
    lost: Mapping[str, str]
    """Why each could run no more that is not in ``blocks``."""
    seconds: Mapping[str, float]
    """The wall time that each took in one process: being opened, warmed up and run."""


def schedule(seconds: float) -> Schedule:
    """Return one look at contenders of so many timed seconds each."""
    return Schedule(seconds, ROUNDS, max_time=0.0, looks=1, least=LEAST)


def interleaved(
    contenders: Mapping[str, Contender], samples: Dataset, whole: Path, schedule: Schedule, processes: int = 1
) -> Race:
    """Time all contenders in one run, ``processes`` times, each time in new ones.

    Where a process lands in memory stays with it: two of one small model may differ by 9 % for as long as they live.
    """
    with tempfile.TemporaryDirectory() as folder:
        turns = [Turn(name, each, samples, whole, Path(folder) / f"{number}.log")
                 for number, (name, each) in enumerate(contenders.items())]  # fmt: skip
        with alone(_ignore):
            for generation in range(processes):
                follow(replace(schedule, seed=generation), [turn for turn in turns if turn.lost is None], _ignore)
    return Race(
        blocks={turn.name: turn.blocks for turn in turns if turn.lost is None},
        lost={turn.name: turn.lost for turn in turns if turn.lost is not None},
        seconds={turn.name: turn.seconds / processes for turn in turns},
    )


def in_a_line(error: Exception) -> str:
    """Return the cause alone."""
    if not isinstance(error, MloptError):
        return " ".join(str(error).split())[:300]
    problem = error.problems[0]
    return " ".join(f"{problem.what}: {problem.got or ''}".rstrip(": ").split())[:300]


def _ignore(_detail: str, _share: float) -> None:
    """Say nothing: a line per case is enough."""
