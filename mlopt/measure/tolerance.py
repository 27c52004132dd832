"""How far two values may be apart and still be the same but for rounding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.data.ragged import dtype_of
from mlopt.measure.chunks import as_numbers, check_names, chunks, is_floating

Array = NDArray[Any]
Floats = NDArray[np.float64]
Outputs = Mapping[str, Array]

_RELATIVE = 1e-3  # of each value; graph rewrites in float32 stay two orders below
_OF_SCALE = 1e-4  # of the output's largest value: cancellation makes small values inexact
_ROUNDINGS = 8  # of the coarser of the two dtypes, for outputs in half precision
_FLOAT32 = 2.0**-23  # one rounding


def scales(outputs: Outputs) -> dict[str, float]:
    """Return the largest magnitude in each floating-point output; 0 for any other."""
    return {name: _scale(name, array, array) if is_floating(array) else 0.0 for name, array in outputs.items()}


def within_tolerance(expected: Outputs, got: Outputs, largest: Mapping[str, float] | None = None) -> str | None:
    """Return None if ``got`` is ``expected`` up to rounding, else the first difference in words.

    Each floating-point value may differ by 1e-3 of itself (in half precision by eight roundings) plus 1e-4 of the
    largest value of its output; everything else must be equal. ``largest`` has that of more samples (``scales``): what
    is left of values as large may be off by eight roundings of them. Raises like ``compare``.
    """
    check_names(expected, got)
    for name in expected:
        reason = _first_difference(name, expected[name], got[name], (largest or {}).get(name, 0.0))
        if reason is not None:
            return reason
    return None


def relative_tolerance(expected: Array, got: Array) -> float:
    """Return how far a value may be from the expected one, as a share of it; 0 if they are not floating point."""
    floating = is_floating(expected) and is_floating(got)
    return max(_RELATIVE, _ROUNDINGS * max(_rounding(expected), _rounding(got))) if floating else 0.0


def tolerance(expected: Floats, relative: float, scale: float | Floats, largest: float) -> Floats:
    """Return how far each value may be off: ``scale`` is the largest magnitude beside it, ``largest`` that of all."""
    allowed: Floats = relative * np.abs(expected) + np.maximum(_OF_SCALE * scale, _ROUNDINGS * _FLOAT32 * largest)
    return allowed


def _first_difference(name: str, expected: Array, got: Array, largest: float) -> str | None:
    floating = is_floating(expected) and is_floating(got)
    scale = _scale(name, expected, got) if floating else 0.0
    each = relative_tolerance(expected, got)
    for start, wanted, found in chunks(name, expected, got):
        a, b = as_numbers(name, start, wanted, found)
        allowed = tolerance(a, each, scale, largest)
        beyond = np.abs(a - b) > allowed
        if beyond.any():
            row, column = np.argwhere(beyond)[0]
            bound = f"{a[row, column]:.6g} was expected, give or take {allowed[row, column]:.2g}"
            place = f"output '{name}', sample {start + row}, value {column}"
            if not floating:
                return f"{place}: {found[row].flat[column]!r} where {wanted[row].flat[column]!r} was expected"
            return f"{place}: {b[row, column]:.6g} where {bound}"
    return None


def _scale(name: str, expected: Array, got: Array) -> float:
    pieces = (as_numbers(name, start, wanted, found)[0] for start, wanted, found in chunks(name, expected, got))
    return max(float(np.abs(piece).max(initial=0.0)) for piece in pieces)


def _rounding(array: Array) -> float:
    dtype = dtype_of(array)
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else 2.0**-7  # bfloat16
