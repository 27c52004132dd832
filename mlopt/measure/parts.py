"""What the figures of a whole output hide: an error with a direction, and a part that is wrong altogether.

Rounding is noise: it has no direction, and it falls on everything alike. A wrong scale, a lost bias, a channel that
was saturated or one sample that came out as its opposite is no noise, and may still leave a whole output a cosine of
0.99 and an error of 14 %. So two more figures are taken of each output:

- its *shift*: the share of the error that a change of scale and an offset of all values explain. Of an output that is
  10 % too large it is 0.1, of honest quantization hardly more than 0;
- its *worst part*: how wrong the worst channel, the worst sample, or what varies between samples is, where 0 is
  right and 1 is useless: a channel that is as far off as zeros would be, a sample that came out as its opposite, an
  output that tells samples apart no better than a constant.

``docs/gates.md`` has the reasons for the limits. Pure sums over pieces, so outputs may be memory-mapped and large.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NOTHING = 1e10
"""The relative error where there should be nothing, and is something: that of an SQNR of -200 dB."""
_LOUD = 1 / 16  # of the mean energy of the channels: fainter ones are lost in the noise of the others
_FEW, _LEAST_RMS = 16, 0.05  # of so few channels each is a quantity of its own, unless it is as good as nothing
_MANY, _SILENT = 0.75, 1e-8  # a quarter of the channels that say anything, by their energy beside the mean
_SAMPLES, _VALUES = 8, 16  # that speak for a channel: of fewer, one that changed its class would stand for all
_VARIED = 3e-4  # of an output's size: what varies less is a constant
_OPPOSITE = 2.0  # how far a sample is from its opposite
_QUIET = 0.5  # of a typical sample's energy: what says less is judged as if it said so much


class Sums:
    """The sums that a change of scale and an offset follow from."""

    def __init__(self) -> None:
        self._sums = np.zeros(6)

    def add(self, a: Floats, b: Floats) -> None:
        """Add values; ``a`` is what is expected."""
        self._sums += (a.size, a.sum(), b.sum(), (a * a).sum(), (a * b).sum(), (b * b).sum())

    @property
    def shift(self) -> float:
        """The part of the relative error that scale and offset explain, less what they would of pure noise."""
        n, a, b, aa, ab, bb = self._sums.tolist()
        if aa == 0 or n == 0:
            return _NOTHING if bb else 0.0
        spread, common = max(aa - a * a / n, 0.0), ab - a * b / n
        if spread <= 1e-12 * aa:  # a constant has no scale of its own
            spread = common = 0.0
        gain = common / spread if spread else 1.0
        explained = (gain - 1) ** 2 * spread + (b - a) ** 2 / n
        if n > 2:
            rest = max(aa - 2 * ab + bb - explained, 0.0)
            explained -= 2 * rest / (n - 2)
        return math.sqrt(max(explained, 0.0) / aa)


class Variation:
    """What differs from sample to sample, at each place of an output of one shape.

    An offset that all samples share makes any error small beside the whole, and cosines equal to 1.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._sum = np.zeros(shape)
        self._samples, self._energy, self._error = 0, 0.0, 0.0

    def add(self, a: Floats, b: Floats) -> None:
        """Add samples, [samples, ...]; of another shape, the places mean nothing, and nothing is said."""
        self._samples = self._samples + len(a) if a.shape[1:] == self._shape and self._samples >= 0 else -1
        if self._samples >= 0:
            self._sum += a.sum(axis=0)
            self._energy += float((a * a).sum())
            self._error += float(((a - b) ** 2).sum())

    @property
    def lost(self) -> float | None:
        """The error over what varies: 1 if a constant would answer as well. None for what does not vary."""
        if self._samples < _SAMPLES:
            return None
        spread = self._energy - float((self._sum**2).sum()) / self._samples
        return math.sqrt(self._error / spread) if spread > _VARIED**2 * self._energy else None


class Channels:
    """The energies of an output's slices along one axis."""

    def __init__(self, axis: int, size: int) -> None:
        self.axis, self.size = axis, size
        self._expected, self._error, self._squares = (np.zeros(size) for _ in range(3))
        self._samples = self._values = 0

    def add(self, a: Floats, b: Floats) -> None:
        """Add samples, [samples, ...]."""
        others = tuple(each for each in range(1, a.ndim) if each != self.axis)
        energies = (a * a).sum(axis=others)
        self._expected += energies.sum(axis=0)
        self._squares += (energies**2).sum(axis=0)
        self._error += ((a - b) ** 2).sum(axis=others).sum(axis=0)
        self._samples += len(a)
        self._values += a.size // a.shape[self.axis]

    @property
    def worst(self) -> tuple[float, str]:
        """The largest relative error of a channel, and its name; 0 if none can be judged on its own.

        What speaks for a channel is how many samples its energy is spread over: of class probabilities, the one sample
        in a hundred that is of this class, and that may have changed it, does not.
        """
        energy, speak = self._expected, np.zeros_like(self._expected)
        np.divide(energy**2, self._squares, out=speak, where=self._squares > 0)
        heard = energy >= _LOUD * energy.mean()
        if len(energy) <= _FEW:
            heard |= energy >= _LEAST_RMS**2 * self._values
        speak_up = speak >= min(_SAMPLES, self._samples / 2)
        heard &= speak_up
        if self._values < _VALUES or not heard.any():
            return 0.0, ""
        ratios = np.sqrt(np.divide(self._error, energy, out=np.zeros_like(energy), where=energy > 0))
        number = int(np.where(heard, ratios, 0.0).argmax())
        alive = ratios[speak_up & (energy > _SILENT * energy.mean())]
        if len(alive) > _FEW and (many := float(np.quantile(alive, _MANY))) > ratios[number]:
            return many, f"a quarter of the channels of axis {self.axis}"
        return float(ratios[number]), f"channel {number} of axis {self.axis}"


class Parts:
    """Both figures of one output."""

    def __init__(self, *, floating: bool) -> None:
        self._whole, self._faint = Sums(), Sums()
        self._floating = floating
        self._channels: dict[int, Channels] | None = None
        self._variation: Variation | None = None

    def add(self, a: Floats, b: Floats) -> None:
        """Add samples, [samples, ...]; ``a`` is what is expected. Axes whose size varies have no channels."""
        self._whole.add(a, b)
        if self._variation is None:
            self._variation = Variation(a.shape[1:])
        self._variation.add(a, b)
        sizes = {axis: a.shape[axis] for axis in (1, a.ndim - 1) if 0 < axis < a.ndim and a.shape[axis] > 1}
        if self._channels is None:
            self._channels = {axis: Channels(axis, size) for axis, size in sizes.items()}
        self._channels = {axis: one for axis, one in self._channels.items() if sizes.get(axis) == one.size}
        for each in self._channels.values():
            each.add(a, b)

    def add_faint(self, a: Floats, b: Floats) -> None:
        """Add values of faint channels, which have a shift of their own."""
        self._faint.add(a, b)

    @property
    def shift(self) -> float:
        """The larger of the whole's and the faint channels'."""
        return max(self._whole.shift, self._faint.shift)

    def worst(self, expected: Floats, error: Floats) -> tuple[float, str]:
        """Return the worst part and its name; both arguments are energies of samples, [samples]."""
        said = expected[expected >= 1e-8 * expected.max(initial=0.0)]
        typical = max(float(np.median(said)) if len(said) else 0.0, np.finfo(np.float64).tiny)
        with np.errstate(over="ignore"):  # where nothing was expected: it is cut below
            off = np.sqrt(error / np.maximum(expected, _QUIET * typical)) / _OPPOSITE
        found = [(float(off.max(initial=0.0)), f"sample {int(off.argmax())}"), *self._of_channels()]
        lost = self._variation.lost if self._variation is not None and self._floating else None
        if lost is not None:
            found.append((lost, "what varies between samples"))
        value, name = max(found, key=lambda each: each[0])
        return min(value, _NOTHING), name

    def _of_channels(self) -> list[tuple[float, str]]:
        return [each.worst for each in (self._channels or {}).values()]
