"""A model in OpenVINO that runs timed blocks when asked: the other side of ``precision_running.Remote``.

python openvino_server.py MODEL THREADS SAMPLES.npz default|accuracy

``default`` leaves the precision to OpenVINO, ``accuracy`` is its mode that keeps the model's own.

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
from itertools import cycle
from typing import Any

import numpy as np
import openvino
import samples

DISTINCT = 16
MODES: dict[str, dict[str, Any]] = {"default": {}, "accuracy": {"EXECUTION_MODE_HINT": "ACCURACY"}}


class Served:
    """An open model and the samples that it is timed with."""

    def __init__(self, model: str, threads: int, path: str, mode: str) -> None:
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, **MODES[mode]}
        feeds = samples.read(path)[:DISTINCT]
        core = openvino.Core()
        graph = core.read_model(model)
        graph.reshape({name: list(value.shape) for name, value in feeds[0].items()})  # it is slower with free axes
        self._request = core.compile_model(graph, "CPU", options).create_infer_request()
        self._feeds = cycle(feeds)

    def block(self, seconds: float, least: int, most: int) -> list[float]:
        """Return the wall times of inferences, in milliseconds: as many as fit, between the two bounds."""
        times: list[float] = []
        gc.disable()
        clock = time.perf_counter_ns
        end = clock() + int(seconds * 1e9)
        while len(times) < least or (clock() < end and len(times) < most):
            feed = next(self._feeds)
            started = clock()
            self._request.infer(feed)
            times.append((clock() - started) / 1e6)
        gc.enable()
        return times

    def outputs(self, path: str, source: str) -> None:
        """Write each output for every sample, stacked, under the output's number."""
        rows = []
        for feed in samples.read(source):
            results = self._request.infer(feed)
            rows.append([np.array(results[number]) for number in range(len(results))])
        np.savez(path, **{str(number): np.stack(column) for number, column in enumerate(zip(*rows, strict=True))})


def main() -> None:
    """Answer until the other side closes its end; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    model, threads, path, mode = sys.argv[1:]
    served = Served(model, int(threads), path, mode)
    answer: Any = None
    print(json.dumps(answer), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "block" in asked:
            answer = served.block(*asked["block"])
        else:
            answer = served.outputs(asked["outputs"], asked["samples"])
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
