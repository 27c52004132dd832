"""Whether samples hold the value that an input is fixed at: a model made for it is not to be judged on others."""

from __future__ import annotations

import numpy as np

from mlopt.core.errors import Problem
from mlopt.data.dataset import Array
from mlopt.formats.fixed import difference
from mlopt.formats.model import TensorSpec


def value_problem(array: Array, spec: TensorSpec, where: str) -> Problem | None:
    """Return what is wrong with samples, [samples, ...], of an input that is fixed at a value; None if nothing is."""
    if spec.value is None:
        return None
    found = _first_other(array, spec)
    if found is None:
        return None
    sample, how = found
    return Problem(
        f"a sample has another value than input '{spec.name}' is fixed at", where, got=f"sample {sample}: {how}",
        expected=str(spec),
        fix="leave out the samples of other values: the model is not made for them; or do not fix this input",
    )  # fmt: skip


def _first_other(array: Array, spec: TensorSpec) -> tuple[int, str] | None:
    """Return the first sample that has another value, and which; where samples are rows, each row must be alike."""
    wanted = np.asarray(spec.fixed_array())
    if array.ndim != wanted.ndim + 1:
        if bool((wanted != wanted[:1]).any()):
            return 0, "it is one row of a batch, and the fixed value differs from row to row"
        wanted = wanted[0]
    if array.shape[1:] != wanted.shape:
        return 0, str(difference(array[0], wanted))
    other = np.flatnonzero((array != wanted).reshape(len(array), -1).any(axis=1))
    return (int(other[0]), str(difference(array[other[0]], wanted))) if len(other) else None
