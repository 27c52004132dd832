"""Outputs of two models side by side, in pieces that fit into memory: of the same names and shapes, as numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import MeasureError
from mlopt.data.ragged import dtype_of, is_ragged

Array = NDArray[Any]
Floats = NDArray[np.float64]
Outputs = Mapping[str, Array]

_CHUNK_VALUES = 1 << 20


def check_names(expected: Outputs, got: Outputs) -> None:
    """Raise ``MeasureError`` unless both have the same outputs, at least one."""
    if set(expected) != set(got) or not expected:
        raise MeasureError(
            "the two models have different outputs", got=", ".join(got) or "none", expected=", ".join(expected) or "any"
        )


def chunks(name: str, expected: Array, got: Array) -> Iterator[tuple[int, Array, Array]]:
    """Yield pieces of both, [samples, ...], each with the number of its first sample; of ragged ones, each sample."""
    if expected.shape != got.shape:
        raise MeasureError("shapes differ", where=f"output '{name}'", got=str(got.shape), expected=str(expected.shape))
    wanted, found = np.atleast_1d(expected), np.atleast_1d(got)
    if not len(wanted):
        raise MeasureError("there are no samples to compare", where=f"output '{name}'", got=str(wanted.shape))
    if is_ragged(wanted):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            if one.shape != other.shape:
                where = f"output '{name}', sample {number}"
                raise MeasureError("shapes differ", where=where, got=str(other.shape), expected=str(one.shape))
            yield number, one[np.newaxis], other[np.newaxis]
        return
    rows = max(_CHUNK_VALUES // max(math.prod(wanted.shape[1:]), 1), 1)
    for start in range(0, len(wanted), rows):
        yield start, wanted[start : start + rows], found[start : start + rows]


def is_floating(array: Array) -> bool:
    """Whether these are floating-point numbers, those that NumPy itself does not have among them."""
    return dtype_of(array).kind not in "biuOSUT"  # bfloat16 and its kin have kind V


def as_numbers(name: str, start: int, expected: Array, got: Array) -> tuple[Floats, Floats]:
    """Return both as [samples, values]."""
    expected, got = (array.reshape(len(array), math.prod(array.shape[1:])) for array in (expected, got))
    if not (is_floating(expected) and is_floating(got)):
        return np.ones(expected.shape), np.asarray(expected == got, dtype=np.float64)
    a, b = expected.astype(np.float64), got.astype(np.float64)
    special = ~(np.isfinite(a) & np.isfinite(b))
    if special.any():
        apart = special & ~((a == b) | (np.isnan(a) & np.isnan(b)))
        if apart.any():
            row, column = np.argwhere(apart)[0]
            raise MeasureError(
                "only one of the two models' outputs is NaN or infinite",
                where=f"output '{name}', sample {start + row}", got=str(b[row, column]), expected=str(a[row, column]),
            )  # fmt: skip
        a[special] = b[special] = 0.0
    return a, b
