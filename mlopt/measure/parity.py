"""How far one model's outputs are from another's on the same samples: measured, and for lossless passes judged.

Outputs may be memory-mapped and large, so they are read in pieces, and sums are kept in float64. Outputs that are not
floating point (ids, masks, text) have no small errors: every value is either equal or not, so they are compared as ones
against their equality. NaN and infinity must stand at the same places in both, and count as equal there.

One output may hold things of different size: a detector's boxes in pixels, and scores up to 1. The figures of the whole
would be those of the boxes. So where the channels of a sample fall into two kinds by their peaks, far apart, the faint
ones are judged on their own too, and the worse figure counts.

How wrong the scale is, and how wrong the worst channel or sample, ``parts`` says.

On some samples a model may have nothing to say: a detector answers 1e-7 everywhere where there is nothing to find. Of
such an answer no direction is asked for, only that it stays faint beside those to other samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.measure.chunks import as_numbers, check_names, chunks, is_floating
from mlopt.measure.pairing import paired
from mlopt.measure.parts import Parts
from mlopt.results.figures import Fidelity, OutputFidelity, Parity

Array = NDArray[Any]
Floats = NDArray[np.float64]
Outputs = Mapping[str, Array]

_SAID = 1e-8  # of the largest energy: typical is the median of the samples beyond a 1/10,000 of the largest magnitude
_BLANK = 1e-4  # of the energy of a typical sample: 1 % of its magnitude
_NO_SIGNAL_DB = -200.0
_APART = 50.0  # between the peaks of two neighbours in size; 2,400 between the boxes and scores of a YOLOv8
_FAINT = 0.05  # peaks below are noise; times 50 it is above 1, so that probabilities are never taken apart
_ENOUGH = 64  # values per channel: of a few, the peak is chance


def compare(expected: Outputs, got: Outputs) -> Parity:
    """Measure how far ``got`` is from ``expected``; both {output: [samples, ...]}. The worst output counts.

    Raises ``MeasureError`` when names or shapes differ, there is no sample, or only one of the two is finite.
    """
    found = worst(expected, got)
    return Parity(max_abs=found.max_abs, sqnr_db=found.sqnr_db, cosine=found.cosine)


def fidelity(reference: Outputs, outputs: Outputs) -> Fidelity:
    """Measure like ``compare``, for the report of a whole model against its source."""
    found = worst(reference, outputs)
    return Fidelity(
        cosine=found.cosine, sqnr_db=found.sqnr_db, max_abs=found.max_abs, n=found.n, shift=found.shift,
        worst_part=found.worst_part, part=found.part, outputs=found.outputs, matched=found.matched,
    )  # fmt: skip


def cosines(reference: Outputs, outputs: Outputs) -> Floats:
    """Return each sample's cosine similarity [samples], of the output whose mean is lowest."""
    return worst(reference, outputs).cosines


@dataclass(frozen=True)
class _Error:
    """One output's difference, summed up."""

    cosines: Floats
    sqnr_db: float | None
    max_abs: float
    shift: float
    worst_part: float
    part: str


class _Sum:
    """Energies of an output, or of its faint channels, sample by sample."""

    def __init__(self) -> None:
        self._parts: list[tuple[slice, Floats]] = []

    def add(self, start: int, a: Floats, b: Floats) -> None:
        """Add samples, [samples, values], numbered from ``start``."""
        energies = np.stack([(part**2).sum(axis=1) for part in (a, b, a - b)] + [(a * b).sum(axis=1)])
        self._parts.append((slice(start, start + len(a)), energies))

    @property
    def of_samples(self) -> tuple[Floats, Floats]:
        """The energies of what is expected, and of the error, [samples] each; all samples must have been added."""
        energies = np.concatenate([part for _, part in self._parts], axis=1)
        return energies[0], energies[2]

    @property
    def sqnr_db(self) -> float:
        """Infinite without noise."""
        signal, noise = (math.fsum(float(part[row].sum()) for _, part in self._parts) for row in (0, 2))
        if noise == 0:
            return math.inf
        return 10 * math.log10(signal / noise) if signal else _NO_SIGNAL_DB

    def lower(self, cosines: Floats) -> None:
        """Take each sample's cosine into ``cosines``, [samples], where it is lower."""
        if not self._parts:
            return
        signals = np.concatenate([part[0] for _, part in self._parts])
        least = _BLANK * float(np.median(signals[signals >= _SAID * signals.max(initial=0.0)]))
        for rows, (a2, b2, noise2, product) in self._parts:
            offset = np.where(a2 < least, least, 0.0)
            length = np.sqrt(a2 + offset) * np.sqrt(b2 + offset)
            cosine = np.divide(product + offset, length, out=np.zeros_like(length), where=length > 0)
            cosines[rows] = np.minimum(cosines[rows], np.where(noise2 == 0, 1.0, np.clip(cosine, -1.0, 1.0)))


@dataclass(frozen=True)
class Worst:
    """Each figure of the output that it is worst of."""

    cosines: Floats
    """Each sample's, [samples], of the output whose mean is lowest."""
    sqnr_db: float | None
    """None if all outputs are equal."""
    max_abs: float
    n: int
    shift: float
    """See ``measure.parts``, as for ``worst_part``, which ``part`` names."""
    worst_part: float
    part: str
    outputs: Mapping[str, OutputFidelity]
    """Each output's own figures."""
    matched: float | None = None
    """The share of detections that found each other (``pairing``); None if no output holds any."""

    @property
    def cosine(self) -> float:
        """The mean over the samples."""
        return float(self.cosines.mean())


def worst(expected: Outputs, got: Outputs) -> Worst:
    """Measure like ``compare``, and keep each sample's cosine."""
    check_names(expected, got)
    pairs = paired(expected, got)
    errors = {name: _error(name, pairs.expected[name], pairs.got[name]) for name in pairs.expected}
    noisy = [error.sqnr_db for error in errors.values() if error.sqnr_db is not None]
    where = max(errors, key=lambda name: errors[name].worst_part)
    return Worst(
        cosines=min((error.cosines for error in errors.values()), key=lambda values: float(values.mean())),
        sqnr_db=min(noisy) if noisy else None,
        max_abs=max(error.max_abs for error in errors.values()),
        n=max(len(error.cosines) for error in errors.values()),
        shift=max(error.shift for error in errors.values()),
        worst_part=errors[where].worst_part,
        part=f"{errors[where].part} of output '{where}'",
        outputs={name: _figures(error) for name, error in errors.items()},
        matched=pairs.matched,
    )


def _figures(error: _Error) -> OutputFidelity:
    return OutputFidelity(
        cosine=float(error.cosines.mean()), sqnr_db=error.sqnr_db, max_abs=error.max_abs, shift=error.shift,
        worst_part=error.worst_part, part=error.part,
    )  # fmt: skip


def _error(name: str, expected: Array, got: Array) -> _Error:
    whole, faint, max_abs = _Sum(), _Sum(), 0.0
    parts = Parts(floating=is_floating(expected) and is_floating(got))
    for start, wanted, found in chunks(name, expected, got):
        a, b = as_numbers(name, start, wanted, found)
        whole.add(start, a, b)
        parts.add(a.reshape(wanted.shape), b.reshape(wanted.shape))
        for mask in _faint_channels(a.reshape(wanted.shape)):
            faint.add(start, a * mask, b * mask)
            parts.add_faint(a[mask], b[mask])
        max_abs = max(max_abs, float(np.abs(a - b).max(initial=0.0)))
    cosines = np.ones(len(np.atleast_1d(expected)))
    for each in (whole, faint):
        each.lower(cosines)
    sqnr = min(whole.sqnr_db, faint.sqnr_db)
    value, part = parts.worst(*whole.of_samples)
    return _Error(cosines, sqnr if math.isfinite(sqnr) else None, max_abs, parts.shift, value, part)


def _faint_channels(samples: Floats) -> Iterator[NDArray[np.bool_]]:
    """Yield masks, [samples, values], of the channels along an axis whose peaks lie far below all others.

    A sample whose channels are of one kind has nothing in its mask.
    """
    size = np.abs(samples)
    for axis in range(1, samples.ndim):
        channels = samples.shape[axis]
        if channels < 2 or size[0].size < _ENOUGH * channels:
            continue
        peaks = size.max(axis=tuple(each for each in range(1, samples.ndim) if each != axis))
        falling = -np.sort(-peaks, axis=1)
        high, low = falling[:, :-1], falling[:, 1:]
        gaps = np.where(low >= _FAINT, high / np.maximum(low, _FAINT), 0.0)
        widest = gaps.argmax(axis=1)[:, None]
        apart = np.take_along_axis(gaps, widest, axis=1) >= _APART
        if apart.any():
            mask = apart & (peaks <= np.take_along_axis(low, widest, axis=1))
            shape = [len(samples), *(channels if each == axis else 1 for each in range(1, samples.ndim))]
            yield np.broadcast_to(mask.reshape(shape), samples.shape).reshape(len(samples), -1)
