"""The other side of ``precision_running.Remote``: a model that runs timed blocks when asked, whatever it runs in.

One JSON object a line. {"block": [seconds, least, most]} is answered with the times in milliseconds, and {"outputs":
"FILE.npz", "samples": "SAMPLES.npz"} with null when all outputs are in the file. The first answer is null too: the
model is open.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import samples

DISTINCT = 16
Infer = Callable[[dict[str, Any]], Any]


class Served:
    """An open model and the samples that it is timed with.

    ``infer`` is what is timed; ``arrays`` gives the outputs of what that returned, in their order.
    """

    def __init__(self, infer: Infer, arrays: Callable[[Any], Sequence[Any]], path: str) -> None:
        self._infer, self._arrays = infer, arrays
        self._feeds = cycle(samples.read(path)[:DISTINCT])

    def block(self, seconds: float, least: int, most: int) -> list[float]:
        """Return the wall times of inferences, in milliseconds: as many as fit, between the two bounds."""
        times: list[float] = []
        gc.disable()
        clock = time.perf_counter_ns
        end = clock() + int(seconds * 1e9)
        while len(times) < least or (clock() < end and len(times) < most):
            feed = next(self._feeds)
            started = clock()
            self._infer(feed)
            times.append((clock() - started) / 1e6)
        gc.enable()
        return times

    def outputs(self, path: str, source: str) -> None:
        """Write each output for every sample, stacked, under the output's number."""
        rows = [[np.array(each) for each in self._arrays(self._infer(feed))] for feed in samples.read(source)]
        np.savez(path, **{str(number): np.stack(column) for number, column in enumerate(zip(*rows, strict=True))})


def serve(opened: Callable[[], Served]) -> None:
    """Answer until the other side closes its end; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    served = opened()
    answer: Any = None
    print(json.dumps(answer), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "block" in asked:
            answer = served.block(*asked["block"])
        else:
            answer = served.outputs(asked["outputs"], asked["samples"])
        print(json.dumps(answer), file=answers, flush=True)
