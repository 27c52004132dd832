"""Whether a step that must not change results changed them on any evaluation sample.

Each sample is held against the step's own input, up to rounding at its own scale or, where it is fainter than most, at
that of a typical one: a logit may happen to be near zero. Two things are no fault of a lossless step: a class or a
pixel among very many that tips over by a rounding, and, after a lossy step, a code that does (a value may lie between
two codes of INT8). The latter moves outputs, but far less than the lossy step itself did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import MeasureError
from mlopt.data.ragged import is_ragged
from mlopt.measure.pairing import paired
from mlopt.measure.tolerance import relative_tolerance, tolerance

Array = NDArray[Any]
Floats = NDArray[np.float64]
Outputs = Mapping[str, Array]

_OF_LOSS = 0.1  # of the energy of what earlier lossy steps changed
_TIPPED, _TIPPED_OF_ONE = 1e-4, 1e-3  # of the values that have no small errors: in all samples, and in any one
_CHUNK_VALUES = 1 << 20


@dataclass(frozen=True)
class Difference:
    """What stands at one place, in words."""

    place: str
    got: str
    expected: str

    def __str__(self) -> str:
        return f"{self.place} is {self.got} where {self.expected} was expected"


@dataclass(frozen=True)
class OutputChange:
    """What became of the first sample whose outputs differ by more than rounding."""

    sample: int
    output: str
    first: Difference
    samples: int
    """How many samples differ."""
    count: int
    """Of how many."""

    def __str__(self) -> str:
        where = f"output '{self.output}', sample {self.sample}"
        return f"{where}: {self.first}; {self.samples} of {self.count} evaluation samples differ"


def change(
    expected: Outputs, got: Outputs, source: Outputs | None = None, samples: Sequence[int] | None = None
) -> OutputChange | None:
    """Return where ``got`` is not ``expected`` up to rounding; {output: [samples, ...] or ragged} of equal names.

    ``source`` are the outputs of a model that lossy steps may have led away from on the way to ``expected``;
    ``samples`` says which sample each row is, where some were run more than once: a sample is counted once.
    """
    if set(expected) != set(got):
        raise MeasureError("the outputs are not of the same names", got=", ".join(got), expected=", ".join(expected))
    found: dict[int, tuple[str, Difference]] = {}
    pairs = paired(expected, got)
    for name in expected:
        differing = _differing(pairs.expected[name], pairs.got[name])
        if differing and not (source is not None and _within_loss(expected, got, source, name)):
            for sample, first in differing.items():
                found.setdefault(sample, (name, _shapes(sample, expected[name], got[name]) or first))
    if not found:
        return None
    row = min(found)
    of_row = range(len(next(iter(expected.values())))) if samples is None else samples
    return OutputChange(of_row[row], *found[row], len({of_row[row] for row in found}), len(set(of_row)))


def not_finite(outputs: Outputs) -> dict[int, str]:
    """Return the output of each sample that holds NaN or infinity, by the number of the sample."""
    found: dict[int, str] = {}
    for name, array in outputs.items():
        for start, values, _ in _pieces(array, array):
            if values.dtype.kind not in "biuOSUT":
                bad = ~np.isfinite(values.astype(np.float64)).all(axis=1)
                found |= {start + row: name for row in np.flatnonzero(bad).tolist() if start + row not in found}
    return found


def _differing(expected: Array, got: Array) -> dict[int, Difference]:
    """Return the first difference in each sample that differs."""
    if expected.shape != got.shape:
        return dict.fromkeys(
            range(len(expected)), Difference("the shape of all samples", str(got.shape), str(expected.shape))
        )
    relative, typical, largest = relative_tolerance(expected, got), 0.0, 0.0
    if relative:
        sizes = np.concatenate([_magnitude(wanted) for _, wanted, _ in _pieces(expected, got)])
        typical, largest = float(np.median(sizes)), float(sizes.max())
    found, tipped, values = {}, {}, 0
    for start, wanted, given in _pieces(expected, got):
        beyond = _beyond(wanted, given, relative, typical, largest)
        values += beyond.size
        for row in np.flatnonzero(beyond.any(axis=1)).tolist():
            column, count = int(beyond[row].argmax()), int(beyond[row].sum())
            said = (_said(side[row, column]) for side in (given, wanted))
            found[start + row] = Difference(f"value {column}", *said)
            tipped[start + row] = 0 if count > _TIPPED_OF_ONE * beyond.shape[1] else count
    if relative or sum(tipped.values()) > _TIPPED * values:
        return found
    return {sample: first for sample, first in found.items() if not tipped[sample]}


def _beyond(wanted: Array, given: Array, relative: float, typical: float, largest: float) -> NDArray[np.bool_]:
    """Return which values, both [samples, values], are apart by more than rounding; NaN is equal to NaN."""
    if not relative:
        return np.asarray(wanted != given)
    a, b = wanted.astype(np.float64), given.astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinity less itself
        near = np.abs(a - b) <= tolerance(a, relative, np.maximum(_magnitude(a), typical)[:, None], largest)
    finite = np.isfinite(a) & np.isfinite(b)
    same: NDArray[np.bool_] = (finite & near) | (a == b) | (np.isnan(a) & np.isnan(b))
    return ~same


def _magnitude(values: Array) -> Floats:
    """Return the largest finite magnitude of each sample."""
    size = np.abs(values.astype(np.float64))
    return np.where(np.isfinite(size), size, 0.0).max(axis=1, initial=0.0)  # type: ignore[no-any-return]


def _within_loss(expected: Outputs, got: Outputs, source: Outputs, name: str) -> bool:
    """Whether a step after lossy ones moved this output far less than those did, and on no sample further."""
    moved = _energies(expected, got, name)
    lost = _energies(source, expected, name)
    return bool(np.isfinite(moved).all() and moved.max() <= lost.max() and moved.sum() <= _OF_LOSS * lost.sum())


def _energies(expected: Outputs, got: Outputs, name: str) -> Floats:
    """Return the energy of each sample's difference; of values without small errors, how many differ."""
    pairs = paired(expected, got)
    a, b = pairs.expected[name], pairs.got[name]
    if a.shape != b.shape:
        return np.full(len(a), math.inf)
    floating = relative_tolerance(a, b) > 0
    sums = [np.square(wanted.astype(np.float64) - given.astype(np.float64)).sum(axis=1) if floating
            else (wanted != given).sum(axis=1) for _, wanted, given in _pieces(a, b)]  # fmt: skip
    energies: Floats = np.concatenate(sums).astype(np.float64)
    return np.where(np.isnan(energies), math.inf, energies)


def _pieces(expected: Array, got: Array) -> Iterator[tuple[int, Array, Array]]:
    """Yield parts of both as [samples, values], each with the number of its first sample."""
    rows = 1 if is_ragged(expected) else max(_CHUNK_VALUES // max(math.prod(expected.shape[1:]), 1), 1)
    for start in range(0, len(expected), rows):
        pair = [array[start] if is_ragged(array) else array[start : start + rows] for array in (expected, got)]
        yield start, *(part.reshape(1 if is_ragged(expected) else len(part), -1) for part in pair)  # type: ignore[misc]


def _shapes(sample: int, expected: Array, got: Array) -> Difference | None:
    """Say so if what differs is how much there is."""
    if len(expected) != len(got) or expected[sample].shape == got[sample].shape:
        return None
    return Difference("the shape", *(str(list(array[sample].shape)) for array in (got, expected)))


def _said(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, np.floating) else str(value)
