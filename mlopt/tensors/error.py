"""How far one tensor is from another over several inferences: sums only, so that no tensor is kept.

A tensor's SQNR can hide a fault: where a few channels are a thousand times as large as the rest, they are nearly all
of its energy, and one scale for the whole tensor keeps them and destroys the rest. So the SQNR of the median channel
stands beside it. Unlike in ``mlopt.measure.parity``, NaN or infinity in only one of the two is a finding and no error:
it is counted, and left out of the sums.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]

_NO_SIGNAL_DB = -200.0
_ALIVE = 1e-9  # of the strongest channel's energy: of thousands of classes, most have a probability of nothing
_CHANNELS_SECOND = 4  # from this rank on [batch, channels, ...]; below it [..., features]


class Error:
    """The difference between two tensors, added up over inferences."""

    def __init__(self) -> None:
        self._signal = self._noise = self._largest = 0.0
        self._cosines: list[float] = []
        self._channels: tuple[Floats, Floats] | None = None
        self.max_abs = 0.0
        self.broken = 0
        """Values that are NaN or infinite in only one of the two."""

    def add(self, expected: Array, got: Array) -> None:
        """Add one inference; both of one shape. What is not floating point counts as equal or not."""
        a, b = self._numbers(np.atleast_1d(expected), np.atleast_1d(got))
        difference = a - b
        signal, noise, size = _by_channel(a), _by_channel(difference), float(np.square(b).sum())
        if self._channels is None:
            self._channels = signal, noise
        elif len(self._channels[0]) == len(signal):  # else the axis is no fixed set of channels
            self._channels = self._channels[0] + signal, self._channels[1] + noise
        self._cosines.append(_cosine(float(signal.sum()), size, float(noise.sum())))
        self._signal, self._noise = self._signal + float(signal.sum()), self._noise + float(noise.sum())
        self._largest = max(self._largest, float(np.abs(a).max(initial=0.0)))
        self.max_abs = max(self.max_abs, float(np.abs(difference).max(initial=0.0)))

    def _numbers(self, expected: Array, got: Array) -> tuple[Floats, Floats]:
        if not (is_floating(expected) and is_floating(got)):
            return np.ones(expected.shape), np.asarray(expected == got, dtype=np.float64)
        a, b = expected.astype(np.float64), got.astype(np.float64)
        special = ~(np.isfinite(a) & np.isfinite(b))
        if special.any():
            self.broken += int((special & ~((a == b) | (np.isnan(a) & np.isnan(b)))).sum())
            a[special] = b[special] = 0.0
        return a, b

    @property
    def sqnr_db(self) -> float | None:
        """Signal to noise over all values; None if the two are equal."""
        return None if self._noise == 0 else _decibels(self._signal, self._noise)

    @property
    def channel_db(self) -> float | None:
        """The same of the median channel, among those with a signal; None if it is exact."""
        signal, noise = self._channels or (np.zeros(0), np.zeros(0))
        alive = signal > _ALIVE * signal.max(initial=0.0)
        if not alive.any():
            return self.sqnr_db
        ratio = np.median(noise[alive] / signal[alive])
        return None if ratio == 0 else _decibels(1.0, float(ratio))

    @property
    def cosine(self) -> float:
        """The mean over inferences."""
        return float(np.mean(self._cosines))

    @property
    def max_rel(self) -> float:
        """``max_abs`` as a share of the largest magnitude expected; infinite where zeros were expected."""
        if self.max_abs == 0:
            return 0.0
        return self.max_abs / self._largest if self._largest else math.inf


def is_floating(array: Array) -> bool:
    """Whether an array has small errors at all; bfloat16 and its kin have kind V."""
    return array.dtype.kind not in "biuOSUT"


def _by_channel(values: Floats) -> Floats:
    """Return the energy of each channel [channels]."""
    axis = 1 if values.ndim >= _CHANNELS_SECOND else values.ndim - 1
    energy: Floats = np.square(values).sum(axis=tuple(other for other in range(values.ndim) if other != axis))
    return energy


def _cosine(a2: float, b2: float, difference2: float) -> float:
    """Return the cosine from three energies, by the law of cosines."""
    if difference2 == 0:
        return 1.0
    length = math.sqrt(a2) * math.sqrt(b2)
    return min(1.0, max(-1.0, (a2 + b2 - difference2) / (2 * length))) if length else 0.0


def _decibels(signal: float, noise: float) -> float:
    return 10 * math.log10(signal / noise) if signal else _NO_SIGNAL_DB
