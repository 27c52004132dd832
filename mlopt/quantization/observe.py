"""Running a model on samples: the range of every tensor, and whether onnxruntime can run a file at all.

Ranges are gathered chunk by chunk: the histogram calibrators keep every tensor of every batch that they get at once.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.data.dataset import Array, Dataset
from mlopt.data.feeds import batches
from mlopt.model import TensorSpec
from mlopt.quantization.graph import Prepared
from mlopt.runtimes.onnxruntime import cause, import_onnxruntime, runtime_errors

if TYPE_CHECKING:
    from onnxruntime.quantization.calibrate import TensorsData

_LOG = logging.getLogger(__name__)
_CHUNK = 8
"""Samples in one inference of min-max calibration, unless the model fixes its batch; histograms take one at a time."""


class Calibration(StrEnum):
    """How a tensor's range follows from what was seen."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"


class _Chunk:
    """One batch, as onnxruntime's calibrators read their data."""

    def __init__(self, feeds: Mapping[str, Array]) -> None:
        self._left = [feeds]

    def get_next(self) -> Mapping[str, Array] | None:
        return self._left.pop() if self._left else None


def observe(
    prepared: Prepared,
    data: Dataset,
    inputs: Sequence[TensorSpec],
    *,
    method: Calibration = Calibration.MINMAX,
    op_types: Sequence[str] = (),
) -> TensorsData:
    """Return the range of each float tensor that nodes of ``op_types`` (all, if empty) read or write.

    Bodies of If, Loop and Scan are not observed.
    """
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    methods = {
        Calibration.MINMAX: CalibrationMethod.MinMax,
        Calibration.PERCENTILE: CalibrationMethod.Percentile,
        Calibration.ENTROPY: CalibrationMethod.Entropy,
    }
    with quiet():
        calibrator = create_calibrator(
            prepared.path,
            list(op_types),
            augmented_model_path=str(prepared.path.with_name("observed.onnx")),
            calibrate_method=methods[method],
            use_external_data_format=prepared.external,
            providers=["CPUExecutionProvider"],
            extra_options={"symmetric": False},
        )
        for feeds, _real in batches(data, inputs, _CHUNK if method is Calibration.MINMAX else 1):
            calibrator.collect_data(_Chunk(feeds))
        return calibrator.compute_data()


def absolute_maxima(ranges: TensorsData) -> dict[str, float]:
    """Return the largest magnitude that each tensor took; ``inf`` where it was not finite."""
    import numpy as np

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
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4  # what it reports is in the exception
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    results: list[Array] = session.run(None, dict(feeds)) if feeds is not None else []
    return results


def same_outputs(a: Path, b: Path, feeds: Mapping[str, Array]) -> bool:
    """Whether two files compute the same from one batch, up to the rounding of float32."""
    import numpy as np

    pairs = zip(outputs(a, feeds), outputs(b, feeds), strict=True)
    return all(np.allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True) for one, other in pairs)


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
