"""What a model is traced with: real samples where they do, else made-up ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlopt.data.feeds import batches
from mlopt.formats.model import TensorSpec
from mlopt.runtimes.base import Array

if TYPE_CHECKING:
    from mlopt.data.dataset import Dataset

_BATCHES = (2, 3, 5, 7)


def example_inputs(specs: tuple[TensorSpec, ...], samples: Dataset | None, seed: int = 0) -> list[Array]:
    """Return arrays to trace with: real samples where they do, else made-up ones of the declared shapes.

    No dynamic dimension is 0 or 1, and the batch differs from every other size: an exporter would take equal or
    trivial sizes for constants. Another ``seed`` gives other samples, or other values where these are made up.
    """
    if samples is not None:
        others = {size for array in samples.inputs.values() for size in array.shape[1:]}
        batch = next((size for size in _BATCHES if size not in others), _BATCHES[0])
        rows = [(row - batch * seed) % samples.count for row in range(batch)]
        feeds, _ = next(batches(samples, specs, batch, rows))
        if all(feeds[spec.name].shape[axis] > 1 for spec in specs for axis in spec.dynamic_axes):
            return [np.array(feeds[spec.name]) for spec in specs]
    names = dict.fromkeys(size for spec in specs for size in spec.shape if isinstance(size, str))
    sizes = {name: 2 + index for index, name in enumerate(names)}
    shapes = [[sizes[size] if isinstance(size, str) else size for size in spec.shape] for spec in specs]
    random = np.random.default_rng(seed)
    return [
        (random.standard_normal(shape) if seed else random.random(shape)).astype(spec.dtype)
        if spec.dtype.startswith("float")
        else _ones(shape, spec.dtype, last=0 if seed else 1)
        for spec, shape in zip(specs, shapes, strict=True)
    ]


def _ones(shape: Sequence[int], dtype: str, *, last: int) -> Array:
    """Return ones; of each row, the last value is ``last``: as in a mask of a text that is padded."""
    values = np.ones(shape, dtype)
    if values.ndim:
        values[..., -1:] = last
    return values
