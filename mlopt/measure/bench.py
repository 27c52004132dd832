"""The side of measuring that lives in the candidate's own process."""

from __future__ import annotations

import contextlib
import gc
import importlib
import math
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice
from statistics import median

import numpy as np

from mlopt.core.errors import MissingPackage
from mlopt.core.worker import peak_rss_bytes
from mlopt.data.dataset import Dataset
from mlopt.data.feeds import batches
from mlopt.measure.candidate import Candidate
from mlopt.results.figures import ColdStart
from mlopt.runtimes.base import Array, Feeds
from mlopt.runtimes.table import open_session, runtime_named

SETTLE_SECONDS, LEAST_SETTLE_SECONDS = 0.1, 0.02
"""Without it, EfficientNet-Lite0 starts each block at half its speed, and two copies of it differ by 21 %, not 8 %."""
WARM_UP_SECONDS = 3.0
WARM_UP_CALLS = 3

_WINDOW_SECONDS = 0.1
_WINDOWS = 20
_STILL_FASTER = 0.97
_DISTINCT_BATCHES = 16
_MAX_CALLS = 2000


class Bench:
    """An open candidate that runs timed blocks when asked. Real samples go round, so that no input is special."""

    def __init__(self, candidate: Candidate, samples: Dataset) -> None:
        self._stack = ExitStack()
        self._feeds = feeds_of(candidate, samples)
        import_runtime(candidate.deployable.runtime)
        opened = time.perf_counter()
        self._session = self._stack.enter_context(open_session(candidate.deployable))
        loaded = time.perf_counter()
        self._session.run(self._feeds[0])
        self._cold = ColdStart(load_ms=1e3 * (loaded - opened), first_ms=1e3 * (time.perf_counter() - loaded))
        self._block_seconds = math.inf
        self._clients = candidate.concurrency
        self._pool = self._stack.enter_context(ThreadPoolExecutor(self._clients)) if self._clients > 1 else None

    def close(self) -> None:
        """Let go of the model, where the process is to go on without it."""
        self._stack.close()

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Run one inference that is not timed."""
        return self._session.run(feeds)

    def cold_start(self) -> ColdStart:
        """Return what opening the model and its first answer took; importing the runtime is not in it."""
        return self._cold

    def warm_up(self) -> None:
        """Run until it no longer gets faster: twice in a row, a window's median is not 3 % below the one before."""
        deadline = time.perf_counter() + WARM_UP_SECONDS
        before, steady = math.inf, 0
        for _ in range(_WINDOWS):
            now = median(self.block(_WINDOW_SECONDS, WARM_UP_CALLS, settle=False))
            steady = steady + 1 if now > _STILL_FASTER * before else 0
            if steady == 2 or time.perf_counter() > deadline:
                return
            before = now

    def block(self, seconds: float, least: int, settle: bool) -> list[float]:
        """Return the wall times of inferences, in milliseconds: as many as ``seconds`` hold, at least ``least``.

        To settle, some come first that are not counted, for as long again but at most 0.1 s: the threads of the
        candidate before still spin for a while, and the caches hold what it left there. Of a model so small that a
        block ends with its number of calls, that is soon over, and 0.02 s are enough: two copies of a model of 7 us
        differed by 1.3 % on average of four runs, and by 1.7 % with 0.1 s.
        """
        if settle:
            self._timed(min(SETTLE_SECONDS, seconds, max(LEAST_SETTLE_SECONDS, self._block_seconds)), least=1)
        started = time.perf_counter()
        gc.disable()
        times = self._timed(seconds, least, most=_MAX_CALLS)
        gc.enable()
        self._block_seconds = time.perf_counter() - started
        return times

    def peak_rss_bytes(self) -> int:
        """Return the most memory that this process has held: interpreter, runtime, model and samples."""
        return peak_rss_bytes()

    def _timed(self, seconds: float, least: int, most: float = math.inf) -> list[float]:
        if self._pool is None:
            return self._loop(0, seconds, least, most)
        share = -(-least // self._clients), most / self._clients
        loops = [self._pool.submit(self._loop, client, seconds, *share) for client in range(self._clients)]
        return [value for loop in loops for value in loop.result()]

    def _loop(self, client: int, seconds: float, least: int, most: float) -> list[float]:
        """Be one client: ask, wait, and ask again."""
        run, clock = self._session.run, time.perf_counter_ns
        feeds = islice(cycle(self._feeds), client, None)
        times: list[float] = []
        end = clock() + int(seconds * 1e9)
        while len(times) < least or (clock() < end and len(times) < most):
            feed = next(feeds)
            started = clock()
            run(feed)
            times.append((clock() - started) / 1e6)
        return times


def feeds_of(candidate: Candidate, samples: Dataset) -> list[Mapping[str, Array]]:
    """Return the first few batches of the samples, in memory."""
    some = islice(batches(samples, candidate.model.inputs, candidate.batch_size), _DISTINCT_BATCHES)
    return [{name: np.array(value) for name, value in feed.items()} for feed, _ in some]


def import_runtime(name: str) -> None:
    """Import the library of a runtime, so that this is not timed; opening the model says what is missing."""
    runtime = runtime_named(name)
    with contextlib.suppress(ImportError, MissingPackage):
        if runtime.library is not None:
            runtime.library()
            return
        for package in runtime.packages:
            importlib.import_module(package)
