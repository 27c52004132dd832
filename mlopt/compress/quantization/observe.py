"""Running a model on samples: the range of every tensor, the mean of channels, whether onnxruntime runs a file at all.

What is asked for is made the graph's outputs, and the rest of the graph goes. One batch is looked at and let go before
the next one runs: only what ``ranges`` remembers of each tensor stays.
"""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlopt.compress.quantization.prepared import WorkingCopy
from mlopt.compress.quantization.ranges import Ends, Extremes, Histogram, MeanExtremes, TensorRange, entropy, percentile
from mlopt.compress.quantization.settings import Calibration
from mlopt.core.cache import Store
from mlopt.core.cache_entry import Key
from mlopt.core.errors import MeasureError
from mlopt.core.packages import versions
from mlopt.core.voice import Count
from mlopt.data.choice import some
from mlopt.data.dataset import Array, Dataset
from mlopt.data.feeds import batches
from mlopt.data.ragged import of_one_call
from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx.file import open_onnx, read_graph
from mlopt.formats.onnx.graph import nodes, subgraphs
from mlopt.formats.onnx.order import sort_nodes
from mlopt.measure.tolerance import within_tolerance
from mlopt.runtimes.onnxruntime import as_text, cause, quiet_session, runtime_errors

if TYPE_CHECKING:
    import onnx
    import onnxruntime
    from onnxruntime.quantization.calibrate import TensorsData

_LOG = logging.getLogger(__name__)
_VERSION = 1
"""Part of what the cache keys ranges by: bumped when the same samples can give another range."""


_METHODS: Mapping[Calibration, Callable[[], TensorRange]] = {
    Calibration.MINMAX: Extremes,
    Calibration.MOVING_AVERAGE: MeanExtremes,
    Calibration.PERCENTILE: lambda: Histogram(percentile),
    Calibration.ENTROPY: lambda: Histogram(entropy),
}


def observe(
    prepared: WorkingCopy,
    data: Dataset,
    inputs: Sequence[TensorSpec],
    *,
    method: Calibration = Calibration.MINMAX,
    op_types: Sequence[str] = (),
    store: Store | None = None,
) -> TensorsData:
    """Return the range of each float32 tensor that nodes of ``op_types`` (all, if empty) read or write.

    Ranges do not depend on the scheme or on what is excluded, so with a ``store`` they are gathered once. Bodies of If,
    Loop and Scan are not observed.
    """
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

    if store is None:
        found = _ranges(prepared.path, data, inputs, method, op_types)
    else:
        key = _key(prepared, data, method, op_types)
        entry, _ = store.fetch(key, lambda _out: {"ranges": _ranges(prepared.path, data, inputs, method, op_types)})
        found = entry.result["ranges"]
    ends = {
        name: (np.array(low, dtype=np.float32), np.array(high, dtype=np.float32)) for name, (low, high) in found.items()
    }
    return TensorsData(CalibrationMethod.MinMax, ends)  # the quantizer reads no more of it than both ends


def channel_means(
    path: Path, axes: Mapping[str, int], data: Dataset, inputs: Sequence[TensorSpec], *, limit: int
) -> dict[str, Array]:
    """Return the mean of every channel of the tensors that ``axes`` names, float64 [channels], over ``limit`` samples.

    ``axes`` says which axis counts the channels: 1 of a convolution's output, -1 of a matrix product's.
    """
    sums: dict[str, Array] = {}
    counts = dict.fromkeys(axes, 0)
    for found in _run(path, tuple(axes), data, inputs, limit):
        for name, values in found.items():
            by_channel = np.moveaxis(values, axes[name], 0).reshape(values.shape[axes[name]], -1)
            sums[name] = sums.get(name, 0.0) + by_channel.sum(axis=1, dtype=np.float64)
            counts[name] += by_channel.shape[1]
    return {name: total / max(counts[name], 1) for name, total in sums.items()}  # one that was always empty: 0


def element_counts(path: Path, tensors: Sequence[str], data: Dataset, inputs: Sequence[TensorSpec]) -> dict[str, int]:
    """Return how many values each tensor has in an inference of one sample; a graph's input is a tensor too."""
    feeds = next(batches(data, inputs, 1, [0]))[0]
    counts = {name: array.size for name, array in feeds.items() if name in tensors}
    inner = tuple(dict.fromkeys(name for name in tensors if name not in counts))
    for found in _run(path, inner, data, inputs, 1) if inner else ():
        counts |= {name: values.size for name, values in found.items()}
    return counts


def _key(prepared: WorkingCopy, data: Dataset, method: Calibration, op_types: Sequence[str]) -> Key:
    parts = {
        "model": open_onnx(prepared.path).digest,
        "data": data.digest,
        "method": method.value,
        "operators": sorted(op_types),
        "packages": versions(("onnxruntime",)),
        "version": _VERSION,
    }
    return Key("calibration", f"{method.value} over {data.count} samples of {data.source}", parts)


def _ranges(
    path: Path, data: Dataset, inputs: Sequence[TensorSpec], method: Calibration, op_types: Sequence[str]
) -> dict[str, Ends]:
    """Return the ranges by name; 0 to 0 of a tensor that was always empty."""
    tensors = _float_tensors(read_graph(path).graph, op_types)
    seen: dict[str, TensorRange] = {}
    for found in _run(path, tensors, data, inputs, data.count):
        for name, values in found.items():
            if values.size:
                seen.setdefault(name, _METHODS[method]()).add(values)
    with quiet():
        return {name: seen[name].ends() if name in seen else (0.0, 0.0) for name in tensors}


def _float_tensors(graph: onnx.GraphProto, op_types: Sequence[str]) -> tuple[str, ...]:
    """Return the float32 tensors, constants apart, that nodes of ``op_types`` (all, if empty) read or write."""
    constants = {tensor.name for tensor in graph.initializer}
    typed = (*graph.input, *graph.value_info, *graph.output)
    floats = {value.name for value in typed if value.type.tensor_type.elem_type == 1} - constants  # 1: FLOAT
    touched = (
        n for node in graph.node if not op_types or node.op_type in op_types for n in (*node.input, *node.output)
    )
    return tuple(name for name in dict.fromkeys(touched) if name in floats)


def _run(
    path: Path, tensors: Sequence[str], data: Dataset, inputs: Sequence[TensorSpec], limit: int
) -> Iterator[dict[str, Array]]:
    """Yield the values of ``tensors``, inference by inference: one sample each, unless the model fixes its batch."""
    fed = {spec.name for spec in inputs}
    computed = [name for name in tensors if name not in fed]
    session = _exposing(path, computed) if computed else None
    rows = some(data, limit).tolist()
    done, count = 0, Count("looking at the values of sample", len(rows))
    for feeds, real in batches(data, inputs, 1, rows):
        count(done := done + real)
        values = dict(zip(computed, session.run(computed, feeds), strict=True)) if session else {}
        yield {name: values[name] if name in values else feeds[name] for name in tensors}


def _exposing(path: Path, tensors: Sequence[str]) -> onnxruntime.InferenceSession:
    """Load a copy of the graph that gives ``tensors`` and computes no more than they need."""
    import onnx

    proto = read_graph(path)
    sort_nodes(proto.graph)
    needed, kept = set(tensors), []
    for node in reversed(proto.graph.node):
        if not needed.isdisjoint(node.output):
            kept.append(node)
            needed.update(node.input)
            needed.update(name for body in subgraphs(node) for inner in nodes(body) for name in inner.input)
    del proto.graph.node[:], proto.graph.output[:]
    proto.graph.node.extend(reversed(kept))
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".onnx") as copy:  # external data are found beside it
        onnx.save(proto, copy.name)
        return quiet_session(Path(copy.name))


def absolute_maxima(ranges: TensorsData) -> dict[str, float]:
    """Return the largest magnitude that each tensor took; ``inf`` where it was not finite."""
    maxima = {}
    for name, data in ranges.items():
        largest = max(float(np.max(np.abs(end), initial=0.0)) for end in data.range_value)
        maxima[name] = largest if np.isfinite(largest) else float("inf")
    return maxima


def refusal(path: Path, feeds: Mapping[str, Array] | None) -> str | None:
    """Return why onnxruntime refuses the file, or fails on one batch; None if it runs."""
    try:
        outputs(path, feeds)
    except runtime_errors() as error:
        return cause(error)
    return None


def outputs(path: Path, feeds: Mapping[str, Array] | None) -> list[Array]:
    """Load a file and run one batch, if there is one.

    All graph optimizations are on, as in deployment: some faults show only in the fused graph.
    """
    session = quiet_session(path)
    return [as_text(output) for output in session.run(None, dict(feeds))] if feeds is not None else []


def same_outputs(a: Path, b: Path, feeds: Mapping[str, Array]) -> bool:
    """Whether two files compute the same from one batch, up to rounding; not if one of them does not run."""
    failures: tuple[type[Exception], ...] = (MeasureError, *runtime_errors())
    try:
        one, other = ({str(place): value for place, value in enumerate(outputs(path, feeds))} for path in (a, b))
        return within_tolerance(*of_one_call(one, other)) is None
    except failures:
        return False


def one_batch(data: Dataset | None, inputs: Sequence[TensorSpec], batch_size: int) -> Mapping[str, Array] | None:
    """Return one batch of real samples to try a result on, or None without data."""
    return next(batches(data, inputs, batch_size))[0] if data is not None else None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep a tool that prints, and that logs through the root logger, away from the user's standard output."""
    silent = logging.NullHandler()  # with a handler there, logging.warning() does not configure the root logger
    root: Any = logging.getLogger()
    root.addHandler(silent)
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        root.removeHandler(silent)
        for line in printed.getvalue().splitlines():
            _LOG.debug("%s", line)
