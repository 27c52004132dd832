"""What of ONNX Runtime's options is worth a try for a model: each changes how it is computed, and not what.

Not among them is what changes more than this model. Denormals as zero is a setting of the thread that opens the first
session of a process, for good: NumPy then computes otherwise, too, and a session that is opened later goes without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mlopt.core.target import Objective
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import read_graph
from mlopt.runtimes.fewer_threads import fewer_threads
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

_LEVELS = ("extended", "basic", "none")
_BLOCK_BASE = 4
"""What ONNX Runtime's own documentation suggests."""


def tunings(model: Model, options: OnnxRuntimeOptions, _objective: Objective) -> Mapping[str, OnnxRuntimeOptions]:
    """Return the changes, each alone; those of threads and memory are about the CPU only."""
    changes = [*_of_threads(model, options), *_of_the_graph(options), *_of_memory(options)]
    return {
        f"{key}: {str(value).lower()}": options.model_copy(update={key: value})
        for key, value in changes
        if getattr(options, key) != value
    }


def _of_threads(model: Model, options: OnnxRuntimeOptions) -> Iterator[tuple[str, Any]]:
    threads = options.threads
    if options.device != "cpu" or threads == 1:
        return
    yield from (("threads", each) for each in fewer_threads(threads))
    yield "spinning", False
    yield "dynamic_block_base", _BLOCK_BASE
    if _branches(model):
        yield from (("inter_op_threads", each) for each in dict.fromkeys((2, threads)))


def _of_the_graph(options: OnnxRuntimeOptions) -> Iterator[tuple[str, Any]]:
    yield from (("graph_optimization", level) for level in _LEVELS)
    if options.device == "cpu":
        yield "prepacking", False


def _of_memory(options: OnnxRuntimeOptions) -> Iterator[tuple[str, Any]]:
    if options.device == "cpu":
        yield "memory_arena", False
        yield "memory_pattern", False


def _branches(model: Model) -> bool:
    """Whether several nodes wait for the same one, and so could run at a time."""
    graph = read_graph(model.path).graph
    made = {name for node in graph.node for name in node.output}
    inputs = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    read = Counter(name for node in graph.node for name in set(node.input) if name in made | inputs)
    return any(count > 1 for count in read.values())
