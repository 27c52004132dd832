"""Inputs unlike the samples: to see what a module does where no sample leads.

A limit that a training moved, and that is lost when the module is made again, may be one that few inputs reach: a clamp
at 90, a token that is treated in its own way, a longest length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mlopt.formats.model import TensorSpec

Array = np.ndarray[Any, Any]
Feed = Mapping[str, Array]
_FACTORS, _PROBED = (0.1, 10.0, 1e3, -100.0, 1e-3), 2
_NUMBERS, _LENGTHS = (8, 64, 1024), (1, 7, 33, 130)
"""For inputs that count something: values up to these; and the sizes that free dimensions are given."""


def probes(feeds: Sequence[Feed], specs: Sequence[TensorSpec]) -> Iterator[Feed]:
    """Yield some feeds with other numbers, then in other sizes, then with the integers from 0 on."""
    for feed in feeds[:_PROBED]:
        for factor in _FACTORS:
            if any(array.dtype.kind == "f" for array in feed.values()):
                yield {name: array * array.dtype.type(factor if array.dtype.kind == "f" else 1)
                       for name, array in feed.items()}  # fmt: skip
    dimensions = list(dict.fromkeys(str(spec.shape[a]) for spec in specs for a in spec.dynamic_axes if a))
    for feed in feeds[:1]:
        longest = feed
        for dimension in dimensions:
            yield from (_resized(feed, specs, dimension, size) for size in _LENGTHS)
            longest = _resized(longest, specs, dimension, _LENGTHS[-1])
        for most in _NUMBERS if any(array.dtype.kind == "i" for array in feed.values()) else ():
            yield {name: _counted(array, most) if array.dtype.kind == "i" else array for name, array in longest.items()}


def _counted(array: Array, most: int) -> Array:
    return (np.arange(array.size) % most).reshape(array.shape).astype(array.dtype)


def _resized(feed: Feed, specs: Sequence[TensorSpec], dimension: str, size: int) -> Feed:
    return {spec.name: _sized(feed[spec.name], spec, dimension, size) for spec in specs}


def _sized(array: Array, spec: TensorSpec, dimension: str, size: int) -> Array:
    for axis in (axis for axis in spec.dynamic_axes if spec.shape[axis] == dimension and array.shape[axis]):
        array = np.take(array, np.arange(size) % array.shape[axis], axis=axis)
    return array
