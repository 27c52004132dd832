"""A metric of embeddings: who a sentence's neighbours are. Apart from the model, for it needs no PyTorch.

A metric is imported in every run, even if all else comes from the cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def neighbour_agreement(
    outputs: Mapping[str, NDArray[Any]], labels: NDArray[Any] | None, reference: Mapping[str, NDArray[Any]]
) -> NDArray[np.float64]:
    """Return for each sentence which part of its five nearest neighbours is the original model's, shape [samples]."""
    del labels  # the reference says what is right
    return _shared(outputs, reference, 5)


def neighbour_overlap(
    outputs: Mapping[str, NDArray[Any]], labels: NDArray[Any] | None, reference: Mapping[str, NDArray[Any]]
) -> NDArray[np.float64]:
    """Return the same of the ten nearest."""
    del labels
    return _shared(outputs, reference, 10)


def _shared(
    outputs: Mapping[str, NDArray[Any]], reference: Mapping[str, NDArray[Any]], count: int
) -> NDArray[np.float64]:
    ours, theirs = (_nearest(next(iter(arrays.values())), count) for arrays in (outputs, reference))
    return np.array([len(set(a) & set(b)) / count for a, b in zip(ours, theirs, strict=True)])


def _nearest(vectors: NDArray[Any], count: int) -> NDArray[np.intp]:
    """The indices of each row's nearest other rows, shape [samples, count]."""
    closeness = vectors @ vectors.T
    np.fill_diagonal(closeness, -np.inf)
    return np.argsort(-closeness, axis=1, kind="stable")[:, :count]
