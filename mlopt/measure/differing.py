"""The samples on which two models differ, as people want to see them: what should come out, and what did."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mlopt.core.errors import DataError
from mlopt.data.choice import typical
from mlopt.measure.accuracy import OF_CLASSES, Array, Floats, Metric, Named, Outputs, Scores
from mlopt.measure.classes import class_axis, predicted_classes
from mlopt.results.figures import Disagreement


def differing(
    metric: str | Metric,
    scores: tuple[Scores, Scores],
    outputs: tuple[Outputs, Outputs],
    labels: Array | None,
    output: Named = None,
) -> tuple[Disagreement, ...]:
    """Return the samples that the source model and the final one, in this order, do not score alike.

    With accuracy and agreement they are named by their classes, in the order of the samples; where a sample has many
    (tokens, pixels), or a function scores it, by their scores in four digits, the largest loss first. Of a metric that
    gives a single number, they are those whose class differs, if the labels are class numbers; else it is not known.
    """
    source, final = (one.per_sample for one in scores)
    single = scores[0].replicates is not None or len(source) != scores[0].count
    if single and (labels is None or labels.dtype.kind not in "iu"):
        return ()
    if single or metric in OF_CLASSES:
        classes = None if single and _is_measure(outputs[0], output) else _classes(outputs, output)
        if classes is not None:
            where = np.flatnonzero(classes[0] != classes[1] if single else source != final)
            return tuple(_disagreement(n, labels, str(classes[0][n]), str(classes[1][n])) for n in where.tolist())
    return () if single else _by_score(source, final, labels)


def few(found: Sequence[Disagreement], limit: int) -> tuple[Disagreement, ...]:
    """Return at most ``limit`` of them: the first where they are sorted by their loss, else some of each class."""
    if any(earlier.sample > later.sample for earlier, later in pairwise(found)):
        return tuple(found[:limit])
    classes = np.array([one.reference if one.label is None else one.label for one in found])
    return tuple(found[row] for row in typical(len(found), limit, classes))


def _is_measure(outputs: Outputs, output: Named) -> bool:
    """Whether there is one number a sample, which is a score of classes only where the metric says so."""
    values = outputs.get(output if isinstance(output, str) else next(iter(outputs)))
    return values is not None and values.dtype.kind not in "biuUSO" and class_axis(values) is None


def _classes(outputs: tuple[Outputs, Outputs], output: Named) -> tuple[Array, Array] | None:
    """Return each model's class of each sample [samples]; None if there is more than one, or none."""
    if isinstance(output, tuple):
        return None
    try:
        source, final = (predicted_classes(one, output, outputs[0]) for one in outputs)
    except DataError:
        return None
    return (source, final) if source.ndim == 1 else None


def _by_score(source: Floats, final: Floats, labels: Array | None) -> tuple[Disagreement, ...]:
    order = np.argsort(final - source, kind="stable")
    texts = ((n, f"{source[n]:.4f}", f"{final[n]:.4f}") for n in order.tolist())
    return tuple(_disagreement(n, labels, old, new) for n, old, new in texts if old != new)


def _disagreement(number: int, labels: Array | None, source: str, final: str) -> Disagreement:
    label = None if labels is None or labels[number].size != 1 else str(np.ravel(labels[number])[0])
    return Disagreement(sample=number, label=label, reference=source, final=final)
