"""A KLL sketch of numbers, read from the library's bytes without the library: checked first, as they may be anybody's.

KLL keeps a sorted sample in levels: a value of level i stands for 2^i that were seen. The layout, little-endian:
preamble length, serial version, family, flags (4 bytes), k (2), m (1), unused (1); then, if there is more than one
value, n (8), the least k of what was merged (2), the number of levels (1), unused (1), where each level begins (4
each), the least and the largest value, and the values (float32). Source: https://datasketches.apache.org/docs/KLL.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlopt.core.errors import DataError

K, M = 200, 8
RANK_ERROR = 0.0133
"""How far a share of values may be off at K, with 99 % confidence; the library's own figure."""
RANK_SIGMA = RANK_ERROR / 2.576
"""As a standard deviation."""
MAX_BYTES = 8192
"""More than any sketch of K takes: a few levels of values, of 4 bytes each."""
_FAMILY, _SHORT, _FULL, _EMPTY, _SINGLE, _SORTED = 15, 2, 5, 1, 4, 2
_HEAD = struct.Struct("<BBBBHBB")
_BODY = struct.Struct("<QHBB")
_MAX_LEVELS = 50


@dataclass(frozen=True)
class Quantiles:
    """What a sketch knows: values in order, each with the number of values that it stands for."""

    values: NDArray[np.float32]
    weights: NDArray[np.int64]
    n: int
    low: float
    """The least value seen, exactly; NaN if there was none."""
    high: float

    @property
    def exact(self) -> bool:
        """Whether every value is there."""
        return len(self.values) == self.n

    def share(self, at: ArrayLike) -> NDArray[np.float64]:
        """Return the share of values that are at most ``at`` [...]; NaN if there are none."""
        places = np.searchsorted(self.values, np.asarray(at, dtype=np.float32), side="right")
        sums = np.concatenate([[0], np.cumsum(self.weights)])
        return np.asarray(sums[places] / self.n if self.n else np.full(np.shape(at), np.nan), dtype=np.float64)

    def quantile(self, shares: Sequence[float]) -> NDArray[np.float32]:
        """Return the least value up to which at least each share of the values lies; there must be some."""
        sums = np.cumsum(self.weights)
        places = np.searchsorted(sums, np.asarray(shares) * self.n - 1e-9, side="left")
        return self.values[np.minimum(places, len(self.values) - 1)]


def parse(data: bytes) -> Quantiles:
    """Read a sketch; raises ``DataError`` for bytes that the library would not have written."""
    if not _HEAD.size <= len(data) <= MAX_BYTES:
        raise _refused(f"{len(data)} bytes")
    length, version, family, flags, k, m, _ = _HEAD.unpack_from(data)
    flags &= ~_SORTED
    if (family, k, m) != (_FAMILY, K, M):
        raise _refused(f"family {family}, k = {k}, m = {m}")
    if (length, version, flags, len(data)) == (_SHORT, 1, _EMPTY, _HEAD.size):
        return Quantiles(np.empty(0, np.float32), np.empty(0, np.int64), 0, np.nan, np.nan)
    if (length, version, flags, len(data)) == (_SHORT, 2, _SINGLE, _HEAD.size + 4):
        value = _floats(data, _HEAD.size)
        return Quantiles(value, np.ones(1, np.int64), 1, float(value[0]), float(value[0]))
    if (length, version, flags) == (_FULL, 1, 0) and len(data) >= _HEAD.size + _BODY.size:
        return _full(data)
    raise _refused(f"preamble {length}, version {version}, flags {flags}, {len(data)} bytes")


def _full(data: bytes) -> Quantiles:
    n, least_k, count, _ = _BODY.unpack_from(data, _HEAD.size)
    starts_at = _HEAD.size + _BODY.size
    ends_at = starts_at + 4 * count
    if least_k != K or not 1 <= count <= _MAX_LEVELS or len(data) < ends_at + 8:
        raise _refused(f"{count} levels of k = {least_k}")
    starts = [*struct.unpack_from(f"<{count}I", data, starts_at), _capacity(count)]
    if any(a > b for a, b in pairwise(starts)) or len(data) != ends_at + 8 + 4 * (starts[-1] - starts[0]):
        raise _refused("levels that do not fit")
    found = _floats(data, ends_at)
    low, high, values = float(found[0]), float(found[1]), found[2:]
    sizes = [end - start for start, end in pairwise(starts)]
    weights = np.repeat(np.int64(1) << np.arange(count, dtype=np.int64), sizes)
    if n > 2**53 or int(weights.sum()) != n:
        raise _refused(f"n = {n}, but values for {int(weights.sum())}")
    if n < 2 or values.min() < low or values.max() > high:
        raise _refused("values beyond the least and the largest")
    first_in_order = 0 if data[3] & _SORTED else 1
    if any(np.any(np.diff(level) < 0) for level in list(_levels(values, sizes))[first_in_order:]):
        raise _refused("a level that is not in order")
    order = np.argsort(values, kind="stable")
    return Quantiles(values[order], weights[order], n, low, high)


def _floats(data: bytes, at: int) -> NDArray[np.float32]:
    found = np.frombuffer(data, "<f4", offset=at).astype(np.float32)
    if not np.isfinite(found).all():
        raise _refused("values that are not finite")
    return found


def _levels(values: NDArray[np.float32], sizes: Sequence[int]) -> Iterator[NDArray[np.float32]]:
    at = 0
    for size in sizes:
        yield values[at : at + size]
        at += size


def _capacity(levels: int) -> int:
    """Return how many values so many levels have room for: the top one K, each below two thirds of the one above."""
    return sum(max(M, ((2 * K << depth) // 3**depth + 1) >> 1) for depth in range(levels))


def _refused(got: str) -> DataError:
    return DataError("this is no sketch that mlopt wrote", got=got, expected=f"KLL of float32, k = {K}")
