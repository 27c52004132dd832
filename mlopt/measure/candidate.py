"""What is measured, and the side of measuring that lives in the candidate's own process."""

from __future__ import annotations

import gc
import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from mlopt.data.dataset import Dataset
from mlopt.data.feeds import batches, predict
from mlopt.model import Model
from mlopt.runtimes import open_session
from mlopt.runtimes.base import RuntimeOptions
from mlopt.worker import peak_rss_bytes

_DISTINCT_BATCHES = 16
_WARM_UP_SECONDS = 0.2
# Without it, EfficientNet-Lite0 starts each block at half its speed, and two copies of it differ by 21 %, not 8 %.
_SETTLE_SECONDS = 0.1
_WARM_UP_CALLS = 5
_MAX_CALLS = 2000


@dataclass(frozen=True)
class Candidate:
    """A model as it would be deployed: with its runtime's options."""

    name: str
    model: Model
    options: RuntimeOptions


class Bench:
    """An open candidate that runs timed blocks when asked. Real samples go round, so that no input is special."""

    def __init__(self, candidate: Candidate, samples: Dataset, batch_size: int) -> None:
        self._stack = ExitStack()
        started = time.perf_counter()
        self._session = self._stack.enter_context(open_session(candidate.model, candidate.options))
        feeds = islice(batches(samples, candidate.model.inputs, batch_size), _DISTINCT_BATCHES)
        self._feeds = cycle([{name: np.array(value) for name, value in feed.items()} for feed, _ in feeds])
        self._session.run(next(self._feeds))
        self._cold_start = time.perf_counter() - started

    def warm_up(self) -> None:
        """Run until caches, pools and clocks have settled."""
        self.block(_WARM_UP_SECONDS, _WARM_UP_CALLS)

    def block(self, seconds: float, least: int) -> list[float]:
        """Return the wall times of inferences, in milliseconds: as many as ``seconds`` hold, at least ``least``.

        First come some that are not counted, for as long again but at most 0.1 s: the threads of the candidate before
        still spin for a while, and the caches hold what it left there.
        """
        run, feeds, clock = self._session.run, self._feeds, time.perf_counter_ns
        settled = clock() + int(min(_SETTLE_SECONDS, seconds) * 1e9)
        while clock() < settled:
            run(next(feeds))
        times: list[float] = []
        gc.disable()
        end = clock() + int(seconds * 1e9)
        while len(times) < least or (clock() < end and len(times) < _MAX_CALLS):
            feed = next(feeds)
            started = clock()
            run(feed)
            times.append((clock() - started) / 1e6)
        gc.enable()
        return times

    def cold_start(self) -> float:
        """Return the seconds from opening the model to its first answer."""
        return self._cold_start

    def peak_rss_bytes(self) -> int:
        """Return the most memory that this process has held: interpreter, runtime, model and samples."""
        return peak_rss_bytes()


def write_outputs(candidate: Candidate, dataset: Dataset, batch_size: int, out: Path) -> dict[str, Any]:
    """Run every sample and write each output as ``<number>.npy`` of shape [samples, ...]; return their names.

    Samples go through in the batches in which they will be served: dynamic quantization scales by the batch.
    """
    with open_session(candidate.model, candidate.options) as session:
        outputs = predict(session.run, dataset, candidate.model.inputs, batch_size)
    for number, values in enumerate(outputs.values()):
        np.save(out / f"{number}.npy", values, allow_pickle=False)
    return {"names": list(outputs)}


def read_outputs(out: Path, names: list[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Read what ``write_outputs`` wrote, memory-mapped."""
    return {name: np.load(out / f"{number}.npy", mmap_mode="r") for number, name in enumerate(names)}
