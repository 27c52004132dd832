"""A static INT8 model of a transformer by NNCF: SmoothQuant, then scales, then corrected biases.

SmoothQuant moves what makes activations hard to quantize (few channels with large values) into the weights. NNCF also
quantizes the sums and products between the layers, so on a CPU without VNNI its model is slower than one with dynamic
scales, and can be slower than FP32: a candidate to be measured, never a default.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mlopt.compress.quantization.copies import separate, static_forms
from mlopt.compress.quantization.observe import one_batch, quiet, refusal
from mlopt.compress.quantization.prepared import WorkingCopy, save
from mlopt.core.errors import MissingPackage
from mlopt.core.packages import install_command
from mlopt.data.dataset import Array, Dataset
from mlopt.data.feeds import batches
from mlopt.formats.model import TensorSpec
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.graph import keep_interface
from mlopt.formats.onnx.names import Names, isolate, restore

_OLDEST_OPSET = 13
"""NNCF's scales per channel need a DequantizeLinear with an axis."""


def quantize_with_nncf(
    prepared: WorkingCopy, data: Dataset, inputs: Sequence[TensorSpec], out: Path, *, excluded: Sequence[str] = ()
) -> str | None:
    """Write the model to ``out``, calibrated on all of ``data``; return why that is not possible, or None.

    ``excluded`` names nodes that stay in floating point. Raises ``MissingPackage`` without NNCF.
    """
    import onnx

    nncf = import_nncf()
    if prepared.opset < _OLDEST_OPSET:
        return f"NNCF needs opset {_OLDEST_OPSET}, and the model has {prepared.opset}"
    if prepared.external:
        return "NNCF keeps the weights in the graph's own file, which holds less than 2 GiB"
    proto = onnx.load(prepared.path)
    every = {node.name for node in proto.graph.node}
    separate(proto.graph, static_forms(every.difference(excluded), (), per_channel=True))
    names = isolate(proto)
    spared = [names.node(name) for name in excluded]
    try:
        with quiet():
            quantized = nncf.quantize(
                proto,
                nncf.Dataset(_Feeds(data, inputs, names)),
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=data.count,
                ignored_scope=nncf.IgnoredScope(names=spared) if spared else None,
            )
    except (
        nncf.ValidationError, nncf.InternalError, nncf.UnsupportedModelError, nncf.ParameterNotSupportedError,
        ValueError, TypeError, LookupError, AttributeError, AssertionError, RuntimeError,
    ) as error:  # fmt: skip
        return f"NNCF failed: {type(error).__name__}: {error}".splitlines()[0]
    restore(quantized, names)
    keep_interface(quantized, read_graph(prepared.path))
    save(quantized, out, external=False)
    fault = refusal(out, one_batch(data, inputs, 1))
    return f"onnxruntime refused NNCF's result: {fault}" if fault else None


class _Feeds:
    """The samples one by one, as often as they are asked for: NNCF goes through them twice."""

    def __init__(self, data: Dataset, inputs: Sequence[TensorSpec], names: Names) -> None:
        self._data, self._inputs, self._names = data, inputs, names

    def __iter__(self) -> Iterator[dict[str, Array]]:
        for feeds, _real in batches(self._data, self._inputs, 1):
            yield {self._names.value(name): array for name, array in feeds.items()}


def about() -> dict[str, str]:
    """Return whether the telemetry of NNCF is off, once it is imported."""
    import_nncf()
    return {"telemetry": "off, by NNCF_CI=1" if os.environ.get("NNCF_CI") == "1" else "on"}


def import_nncf() -> Any:
    """Import NNCF, with its telemetry off and its log kept to what is wrong."""
    os.environ["NNCF_CI"] = "1"  # the one switch it has: it then sends nothing
    try:
        nncf = importlib.import_module("nncf")
    except ImportError as error:
        raise MissingPackage("NNCF is not installed", got=str(error), fix=install_command("smooth")) from error
    nncf.set_log_level(logging.ERROR)
    return nncf
