"""How good a model of the precision benchmark still is, and how good it must be.

Every score takes (outputs, labels, reference) and returns one figure from 0 to 1 for each sample, as a recipe's metric
does: mlopt's own recipes name these functions, so that it is judged by the very figures that its rivals are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Outputs = Mapping[str, Array]
Scores = NDArray[np.float64]
Score = Callable[[Outputs, Array | None, Outputs], Scores]

COSINE = 0.99
AGREEMENT = 0.95
ACCURACY_DROP = 0.005
CHARACTERS_KEPT = 0.99

TEXT_AT, SPEECH_AT = 0.3, 0.5
BLANK, NO_LABEL = 0, -1


def agreement(outputs: Outputs, labels: Array | None, reference: Outputs) -> Scores:
    """Return 1 where the class is the reference's."""
    del labels
    ours, theirs = (_first(arrays).argmax(axis=1) for arrays in (outputs, reference))
    return np.asarray(ours == theirs, dtype=np.float64)


def accuracy(outputs: Outputs, labels: Array | None, reference: Outputs) -> Scores:
    """Return 1 where the class is the label's."""
    del reference
    return np.asarray(_first(outputs).argmax(axis=1) == labels, dtype=np.float64)


def characters(outputs: Outputs, labels: Array | None, reference: Outputs) -> Scores:
    """Return the share of characters that were read: 1 less the edits per character, at least 0.

    Outputs are probabilities [samples, 1, steps, characters] or [samples, steps, characters], and labels indices
    [samples, longest], -1 behind the end.
    """
    del reference
    if labels is None:
        raise ValueError("characters are compared with labels")
    values = _first(outputs)
    read = values.reshape(len(values), *values.shape[-2:]).argmax(axis=2)
    scores = []
    for steps, label in zip(read, labels, strict=True):
        wanted = [int(index) for index in label if index != NO_LABEL]
        scores.append(max(0.0, 1 - _edits(_collapsed(steps.tolist()), wanted) / len(wanted)))
    return np.array(scores)


def overlap(outputs: Outputs, labels: Array | None, reference: Outputs) -> Scores:
    """Return how far the two maps of where text is overlap: intersection over union, thresholded at 0.3."""
    del labels
    ours, theirs = (_first(arrays).reshape(len(_first(arrays)), -1) > TEXT_AT for arrays in (outputs, reference))
    both, either = (ours & theirs).sum(axis=1), (ours | theirs).sum(axis=1)
    return np.asarray(np.where(either > 0, both / np.maximum(either, 1), 1.0), dtype=np.float64)


def speech(outputs: Outputs, labels: Array | None, reference: Outputs) -> Scores:
    """Return 1 where both, or neither, hear speech."""
    del labels
    ours, theirs = (arrays["output"].reshape(len(arrays["output"])) > SPEECH_AT for arrays in (outputs, reference))
    return np.asarray(ours == theirs, dtype=np.float64)


SCORES: dict[str, Score] = {
    "agreement": agreement,
    "accuracy": accuracy,
    "characters": characters,
    "overlap": overlap,
    "speech": speech,
}


def quality(names: tuple[str, ...], outputs: Outputs, labels: Array | None, reference: Outputs) -> dict[str, float]:
    """Return the cosine and the named scores; raises ``MeasureError`` where outputs cannot be compared."""
    from mlopt.measure.parity import fidelity

    found = {"cosine": fidelity(reference, outputs).cosine}
    return found | {name: float(SCORES[name](outputs, labels, reference).mean()) for name in names}


def bars(names: tuple[str, ...], of_fp32: Mapping[str, float]) -> dict[str, float]:
    """Return the least that each figure may be, given FP32's own; ``overlap`` is shown and has none."""
    least = {
        "agreement": AGREEMENT,
        "speech": AGREEMENT,
        "accuracy": of_fp32.get("accuracy", 0.0) - ACCURACY_DROP,
        "characters": CHARACTERS_KEPT * of_fp32.get("characters", 0.0),
    }
    return {"cosine": COSINE} | {name: least[name] for name in names if name in least}


def missed(found: Mapping[str, float], least: Mapping[str, float]) -> list[str]:
    """Name the bars that are not met."""
    return [name for name, bar in least.items() if found[name] < bar - 1e-9]


def gates(names: tuple[str, ...], of_fp32: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the same bars as gates of a recipe whose metric is the first of the names."""
    found: list[dict[str, Any]] = [{"metric": "fidelity.cosine", "min": COSINE}]
    match names[:1]:
        case ("agreement" | "speech",):
            found.append({"metric": "accuracy.value", "min": AGREEMENT})
        case ("accuracy",):
            found.append({"metric": "accuracy.drop_pt", "max": 100 * ACCURACY_DROP})
        case ("characters",):
            found.append({"metric": "accuracy.drop_pt", "max": 100 * (1 - CHARACTERS_KEPT) * of_fp32["characters"]})
    return [gate | {"on_inconclusive": "pass"} for gate in found]


def _first(outputs: Outputs) -> Array:
    return next(iter(outputs.values()))


def _collapsed(steps: list[int]) -> list[int]:
    """Read a line greedily: repeats are one character, and blanks are none."""
    return [now for before, now in pairwise([BLANK, *steps]) if now not in {before, BLANK}]


def _edits(one: list[int], other: list[int]) -> int:
    """Return the fewest insertions, removals and changes that turn one into the other."""
    row = list(range(len(other) + 1))
    for place, left in enumerate(one, 1):
        before, row[0] = row[0], place
        for column, right in enumerate(other, 1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (left != right))
    return row[-1]
