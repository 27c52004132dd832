"""A model in OpenVINO that runs timed blocks when asked.

python openvino_server.py MODEL THREADS SAMPLES.npz default|accuracy

``default`` leaves the precision to OpenVINO, ``accuracy`` is its mode that keeps the model's own.
"""

from __future__ import annotations

import sys
from typing import Any

import openvino
import samples
from serving import Served, serve

MODES: dict[str, dict[str, Any]] = {"default": {}, "accuracy": {"EXECUTION_MODE_HINT": "ACCURACY"}}


def opened() -> Served:
    """Open the model as the command line says."""
    model, threads, path, mode = sys.argv[1:]
    shapes = {name: list(value.shape) for name, value in samples.read(path)[0].items()}
    # written by a user: from here
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": int(threads), "NUM_STREAMS": 1, **MODES[mode]}
    core = openvino.Core()
    graph = core.read_model(model)
    graph.reshape(shapes)  # it is slower with free axes
    request = core.compile_model(graph, "CPU", options).create_infer_request()
    # to here
    return Served(request.infer, lambda results: [results[number] for number in range(len(results))], path)


if __name__ == "__main__":
    serve(opened)
