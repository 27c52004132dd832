"""Whether labels are classes that a model can answer with: what it cannot be right about would count as its errors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import DataError
from mlopt.measure.classes import squeezed

Array = NDArray[Any]

_WHERE = "data.evaluation"
_OWN = "a metric of your own takes any labels: metric.name: ./file.py:function"
_LEFT_OUT = frozenset({-100, -1, 255})
"""What stands, by habit, at tokens and pixels that are not to count."""


def check_known(labels: Array, predicted: Array, count: int | None) -> None:
    """Raise ``DataError`` for labels, as many as ``predicted``, of which some are no class of the model.

    ``count`` is how many classes it has scores for, or None if it gives class numbers itself.
    """
    found = squeezed(labels)
    if found.dtype.kind not in "biuf" or predicted.dtype.kind not in "biu" or found.shape != predicted.shape:
        return
    if not found.size:
        return
    if not np.array_equal(found, np.round(found)):
        odd = (found != np.round(found)).reshape(len(found), -1)
        place = np.unravel_index(int(odd.argmax()), odd.shape)
        raise DataError(
            "the labels are measures, and no class numbers", where=_WHERE,
            got=f"{found.reshape(odd.shape)[place]} for sample {place[0]}", expected="whole numbers from 0",
            fix=f"use the metric fidelity, which needs no labels, or torchmetrics.MeanSquaredError; {_OWN}",
        )  # fmt: skip
    if found.dtype.kind == "b":
        _check_two(predicted, count)
    elif count is not None and (found.min() < 0 or found.max() >= count):
        raise DataError(
            "a label is no class of the model", where=_WHERE, got=f"labels from {found.min()} to {found.max()}",
            expected=f"0 to {count - 1}", fix=_renumbered(found, count),
        )  # fmt: skip


def _check_two(predicted: Array, count: int | None) -> None:
    """Raise ``DataError`` where true and false cannot be all of the classes."""
    classes = count or int(predicted.max()) + 1
    if classes > 2:
        raise DataError(
            "the labels are true and false, and the model has more than two classes", where=_WHERE,
            got=f"{classes} classes" if count else f"class {classes - 1}", expected="class numbers from 0",
            fix="if false is class 0 and true class 1, give labels.astype(numpy.int64); else the model's numbers",
        )  # fmt: skip


def _renumbered(labels: Array, count: int) -> str:
    """Return how to come to the model's numbers, from what the others are."""
    outside = {int(label) for label in np.unique(labels[(labels < 0) | (labels >= count)])}
    if labels.ndim > 1 and outside <= _LEFT_OUT:
        return f"{', '.join(map(str, sorted(outside)))} may mark places that do not count: {_OWN}"
    if count == 2 and outside == {-1}:
        return "give 0 for -1: numpy.where(labels < 0, 0, labels)"
    if labels.min() == 1 and labels.max() == count:
        return "count from 0: give labels - 1"
    return "number the classes as the model does, from 0"
