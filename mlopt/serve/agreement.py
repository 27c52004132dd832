"""Whether two models' answers to one request are the same, as far as their artifacts promise it.

Pure. Each artifact's report says how far an output was from the source model's at most (``fidelity``); two artifacts of
one source may be apart by both, beside rounding. What has no such figure is held to rounding alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.measure.chunks import is_floating
from mlopt.measure.tolerance import relative_tolerance, tolerance
from mlopt.results.figures import Fidelity

Array = NDArray[Any]
Arrays = Mapping[str, Array]


def same(expected: Arrays, got: Arrays, slack: Mapping[str, float]) -> bool:
    """Whether two answers agree; ``slack`` is how far, beyond rounding, each output may be off."""
    if set(expected) != set(got):
        return False
    return all(_same(expected[name], got[name], slack.get(name, 0.0)) for name in expected)


def slack_of(fidelity: Fidelity | None, outputs: tuple[str, ...]) -> dict[str, float]:
    """Return the largest difference to the source model that was seen in each output, as far as a report tells."""
    if fidelity is None:
        return {}
    return {name: fidelity.outputs[name].max_abs if name in fidelity.outputs else fidelity.max_abs for name in outputs}


def together(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Return the slack between two artifacts of one source."""
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {*one, *other}}


def relative_error(expected: Arrays, got: Arrays) -> float:
    """Return the size of the difference over that of the answer, of the worst output; infinite for other shapes.

    What is not floating point is equal (0) or not (infinite).
    """
    return max((_relative(array, got[name]) for name, array in expected.items()), default=0.0)


def _relative(expected: Array, got: Array) -> float:
    if expected.shape != got.shape:
        return math.inf
    if not (is_floating(expected) and is_floating(got)):
        return 0.0 if np.array_equal(expected, got) else math.inf
    a, b = expected.astype(np.float64), got.astype(np.float64)
    noise, signal = float(np.linalg.norm((a - b).ravel())), float(np.linalg.norm(a.ravel()))
    return 0.0 if noise == 0 else noise / signal if signal and math.isfinite(noise) else math.inf


def _same(expected: Array, got: Array, slack: float) -> bool:
    if expected.shape != got.shape:
        return False
    if not (is_floating(expected) and is_floating(got)):
        return bool(np.array_equal(expected, got))
    a, b = expected.astype(np.float64), got.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(b[finite]).all():
        return False
    a, b = a[finite], b[finite]
    scale = float(np.abs(a).max(initial=0.0))
    allowed = tolerance(a, relative_tolerance(expected, got), scale, scale) + slack
    return bool((np.abs(a - b) <= allowed).all())
