"""What ONNX Runtime must be told so that INT8 sums do not overflow on the CPU at hand (see ``formats.onnx.int8``).

A model whose weights were made for another CPU is computed in ONNX Runtime's exact mode, which is slower, or refused
with the way out where that mode does not reach. On a CPU that adds in 32 bits the weights are not even looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from mlopt.core.errors import ModelError
from mlopt.core.hardware import INT8_DOT, detect_cpu
from mlopt.formats.model import Model
from mlopt.formats.onnx.int8 import EXACT, Overflow, overflow
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

_FUSING = frozenset({"extended", "all"})
_LOG = logging.getLogger(__name__)
_SAFE = "make it with `quantize: {portable: true}` or unsigned weights (scheme u8u8), or run it on a CPU with VNNI"
_REMARK = (
    "this CPU has no VNNI, and the model's 8-bit weights would overflow on it: it is computed exactly, which is "
    "slower. `quantize: {portable: true}` makes weights that are right on every CPU"
)


def entries(model: Model, options: OnnxRuntimeOptions) -> Mapping[str, str]:
    """Return the session entries without which the model's INT8 sums would overflow on this CPU.

    Raises ``ModelError`` where no entry helps.
    """
    found = _overflowing(model, options)
    fused = options.graph_optimization in _FUSING
    if not found.layers or not (fused or found.in_integers or found.unbounded):
        return {}
    if found.unbounded or not fused:
        layers = found.unbounded or found.in_integers
        raise ModelError(
            "this CPU would add INT8 products in 16 bits, which overflow with this model's weights",
            where=f"{model.path}: node '{layers[0]}'", got=f"{len(layers)} such layers, and no VNNI",
            expected=f"a CPU with one of {', '.join(sorted(INT8_DOT))}",
            fix=_SAFE if found.unbounded else "open it with graph_optimization all, which can compute it exactly",
        )  # fmt: skip
    _LOG.warning("%s: %s", model.path, _REMARK)
    return EXACT


def entries_of_file(path: Path, level: str) -> Mapping[str, str]:
    """Return the entries for a file that is only looked at, with graph optimizations up to ``level``."""
    return EXACT if level in _FUSING and detect_cpu().adds_in_16_bits and overflow(path).layers else {}


def remark(model: Model, options: OnnxRuntimeOptions) -> str | None:
    """Return what is to be said of the model on this CPU, if its weights are made for another."""
    exact = options.graph_optimization in _FUSING and _overflowing(model, options).layers
    return _REMARK if exact else None


def safe_isa(model: Model) -> tuple[str, ...]:
    """Return the instruction sets of which one is needed to compute the model right without further ado."""
    return tuple(sorted(INT8_DOT)) if overflow(model.path).layers else ()


@contextmanager
def explained(model: Model, options: OnnxRuntimeOptions) -> Iterator[None]:
    """Say of a model that cannot be loaded in the exact mode why it had to be."""
    try:
        yield
    except ModelError as error:
        if remark(model, options) is None:
            raise
        fix = f"it had to be loaded in the exact mode, since this CPU has no VNNI: {_SAFE}"
        raise ModelError.of(replace(problem, fix=problem.fix or fix) for problem in error.problems) from error


def _overflowing(model: Model, options: OnnxRuntimeOptions) -> Overflow:
    on_cpu = options.device == "cpu" and detect_cpu().adds_in_16_bits
    return _overflow(model.path, model.digest) if on_cpu else Overflow()


@lru_cache(maxsize=8)
def _overflow(path: Path, _digest: str) -> Overflow:
    """Look once at the weights of a file that is opened again and again."""
    return overflow(path)
