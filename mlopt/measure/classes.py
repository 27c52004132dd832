"""Which classes a model's outputs stand for, at each position, and how often two models mean the same.

Scores come in many shapes: [samples, classes]; [samples, tokens, classes] or [samples, classes, tokens]; with rows and
columns, classes first or last; one score where there are two classes; or class numbers and names already. Which axis
holds the classes follows from the shape, and where that leaves it open from the values: probabilities add up to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import DataError
from mlopt.data.ragged import is_ragged

Array = NDArray[Any]
Floats = NDArray[np.float64]
Outputs = Mapping[str, Array]

_LOOKED_AT = 64  # samples, to tell probabilities
_SUM = 0.01  # how far the sum of probabilities may be from 1
_TEXT = "US"


def predicted_classes(outputs: Outputs, name: str | None, like: Outputs | None = None) -> Array:
    """Return classes [samples, ...] of the output ``name``, or the first; of scores, the highest's number.

    Of a single score it is 1 beyond 0.5 (of probabilities) or beyond 0 (of others). The layout of the scores is that of
    ``like``, the model that this one is compared with. Raises ``DataError`` for what has no classes, and for NaN.
    """
    name = next(iter(outputs)) if name is None else name
    if name not in outputs:
        raise DataError(f"there is no output '{name}'", where="metric", expected=", ".join(outputs))
    scores, model = outputs[name], (like or outputs)[name]
    if is_ragged(scores):
        raise DataError(
            "the output's size differs from sample to sample", where=f"output '{name}'", expected="[samples, classes]",
            fix="name another one (metric.output), or write the metric as a function: metric.name: ./file.py:function",
        )  # fmt: skip
    if scores.dtype.kind in "biu" + _TEXT:
        return squeezed(scores)
    if scores.dtype.kind == "c":
        raise DataError("complex numbers are no scores of classes", where=f"output '{name}'", got=str(scores.dtype))
    _refuse_nan(scores, name)
    axis = class_axis(model)
    if axis is None:
        least = 0.5 if _within_one(model) else 0.0
        return squeezed(np.asarray(scores > least, dtype=np.int64))
    classes: Array = np.expand_dims(scores.argmax(axis=axis), axis)
    return squeezed(classes)


def class_axis(scores: Array) -> int | None:
    """Return the axis of the classes in an array of samples; None if there is one score at each position.

    - One axis besides the samples is larger than 1: it holds the classes.
    - Of three axes or more besides the samples, the first or the last is 1: there is one score.
    - Along the second or the last axis, and not along both, values (or their exponentials) are probabilities: this one.
    - Otherwise of two axes besides the samples the last; of more, which are a map's, the one that is unlike the others
      (second or last), or the smaller.
    """
    large = [axis for axis in range(1, scores.ndim) if scores.shape[axis] > 1]
    if len(large) < 2:
        return large[0] if large else None
    last = scores.ndim - 1
    if last > 2 and (scores.shape[1] == 1 or scores.shape[last] == 1):
        return None
    summing = [axis for axis in (1, last) if _are_probabilities(scores, axis)]
    if len(summing) == 1:
        return summing[0]
    if last == 2:
        return last
    inner, first, final = set(scores.shape[2:last]), scores.shape[1], scores.shape[last]
    if (final in inner) != (first in inner):
        return 1 if final in inner else last
    return last if final < first else 1


def classes_in(outputs: Outputs, name: str | None) -> int | None:
    """Return how many classes an output has scores for; None if it has none, but classes already, or text."""
    scores = outputs[name or next(iter(outputs))]
    if scores.dtype.kind in "biu" + _TEXT:
        return None
    axis = class_axis(scores)
    return 2 if axis is None else int(scores.shape[axis])


def hits(predicted: Array, labels: Array) -> Floats:
    """Return the share of hits per sample, [samples]; raises ``DataError`` if the labels do not fit."""
    wanted = squeezed(labels)
    alike = (wanted.dtype.kind in _TEXT) == (predicted.dtype.kind in _TEXT)
    if not alike or wanted.dtype.kind not in "biuf" + _TEXT or predicted.shape != wanted.shape:
        text = predicted.dtype.kind in _TEXT
        if text and not alike:
            raise DataError(
                "the model names its classes, and the labels are numbers", where="metric.output",
                got=f"{predicted.dtype} and {wanted.dtype}", expected="class numbers from both",
                fix="judge by the output of probabilities (metric.output), or by the metric agreement",
            )  # fmt: skip
        raise DataError(
            "the labels do not fit the output", where="data.evaluation",
            got=f"labels {labels.dtype}{list(labels.shape)}",
            expected=f"class {'names' if text else 'numbers'} {list(predicted.shape)}",
            fix="give the names that the model answers with" if text else _numbered(predicted, labels),
        )  # fmt: skip
    return np.asarray((predicted == wanted).reshape(len(wanted), -1).mean(axis=1, dtype=np.float64))


def _numbered(predicted: Array, labels: Array) -> str:
    """Return how to make class numbers of such labels."""
    if labels.dtype.kind in _TEXT:
        return "give class numbers from 0, in the order of the model's classes, not names"
    if squeezed(labels).ndim == predicted.ndim + 1:
        own = "write the metric as a function: metric.name: ./file.py:function"
        return f"of one-hot rows, or a share of each class, give labels.argmax(axis=-1); of several classes, {own}"
    return "give one class number from 0 for each class that the model gives"


def sequence_hits(predicted: Array, wanted: Array) -> Floats:
    """Return the share of equal positions per sample, [samples]; 0 for a sample that reads differently.

    What a sample reads is its sequence of classes, repeats counted once and the blank left out, as recognizers of text
    and speech do it: the most frequent class of all, if it is the first or the last. One character of forty that
    changed is 2 % of the positions, and another text. Where there is one class a sample, this is ``hits``.
    """
    shares = hits(predicted, wanted)
    if predicted.ndim != 2 or not predicted.size:
        return shares
    values, counts = np.unique(wanted, return_counts=True)
    common = values[counts.argmax()]
    blank = common if common in (values[0], values[-1]) and len(values) > 1 else None
    for row, (one, other) in enumerate(zip(predicted, wanted, strict=True)):
        if shares[row] < 1 and not np.array_equal(_read(one, blank), _read(other, blank)):
            shares[row] = 0.0
    return shares


def squeezed(array: Array) -> Array:
    """Return an array without axes of one behind the samples."""
    return array.squeeze(tuple(axis for axis in range(1, array.ndim) if array.shape[axis] == 1))


def _read(classes: Array, blank: Any) -> Array:
    once: Array = classes[np.concatenate([[True], classes[1:] != classes[:-1]])]
    return once if blank is None else np.asarray(once[once != blank])


def _refuse_nan(scores: Array, name: str) -> None:
    broken = np.isnan(scores).reshape(len(scores), -1).any(axis=1)
    if broken.any():
        raise DataError(
            "the model's output is NaN", where=f"output '{name}', sample {int(broken.argmax())}",
            got=f"NaN in {int(broken.sum())} of {len(scores)} samples",
        )  # fmt: skip


def _are_probabilities(scores: Array, axis: int) -> bool:
    some = scores[:_LOOKED_AT].astype(np.float64)
    if not some.size or not np.isfinite(some).all():
        return False
    if some.max() <= 1e-6:
        some = np.exp(some)
    return bool(some.min() >= -1e-6 and np.abs(some.sum(axis=axis) - 1).max() <= _SUM)


def _within_one(scores: Array) -> bool:
    return bool(scores.size and scores.min() >= 0 and scores.max() <= 1)
