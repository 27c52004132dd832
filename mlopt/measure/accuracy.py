"""The recipe's metric as scores per sample, so that two models can be compared sample by sample.

Paired scores are what makes a small drop visible: most samples agree, and only the others carry information. Higher is
better for every metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.errors import DataError, MloptError
from mlopt.measure import parity
from mlopt.measure.statistics import mean_interval, paired_drop, proportion_interval
from mlopt.report.schema import Accuracy, AccuracyDrop
from mlopt.usercode import own_line

Array = NDArray[Any]
Floats = NDArray[np.float64]
Outputs = Mapping[str, Array]
Metric = Callable[[Outputs, Array | None, Outputs | None], Any]
"""``metric(outputs, labels, reference)``: scores [samples], or one number for all samples."""

BUILT_IN = ("accuracy", "agreement", "fidelity")
_GROUPS = 20
_EXPECTED = "a score per sample, [samples], or a single number"


@dataclass(frozen=True)
class Scores:
    """A metric's scores: one per sample, or one per group of samples if the metric gives a single number.

    ``per_sample`` is [n] and its mean is the metric's value; ``count`` is the number of samples behind it.
    """

    metric: str
    per_sample: Floats
    count: int


def score(
    metric: str | Metric,
    outputs: Outputs,
    labels: Array | None = None,
    reference: Outputs | None = None,
    *,
    output: str | None = None,
) -> Scores:
    """Score ``outputs`` ({name: [samples, ...]}) with a built-in metric or a function.

    - ``accuracy``: the share of samples whose highest class is the label, in the first output or the one named
      ``output``. That is [samples, classes], [samples, tokens, classes], [samples, classes, height, width], or class
      numbers already. Of several labels per sample (tokens, pixels), a sample scores its share of hits.
    - ``agreement``: the same, with the classes that ``reference`` (the source model's outputs) predicts as labels.
    - ``fidelity``: the cosine similarity to ``reference``, of the worst output.
    - a function (see ``Metric``). One that returns a single number is asked again without each twentieth of the
      samples, and the jackknife's pseudo-values stand for scores.

    Raises ``DataError`` when labels, reference or shapes do not fit, or an output or score is NaN.
    """
    if callable(metric):
        return _own(metric, outputs, labels, reference)
    if metric == "accuracy":
        if labels is None:
            raise DataError(
                "the metric 'accuracy' needs labels, and the evaluation data has none", where="data.evaluation",
                fix="give labels, or use the metric 'agreement', which compares with the source model",
            )  # fmt: skip
        hits = _hits(_classes(outputs, output), _known(np.asarray(labels), outputs, output))
    elif metric == "agreement":
        hits = _hits(_classes(outputs, output), _classes(_needed(metric, reference), output))
    elif metric == "fidelity":
        hits = parity.cosines(_needed(metric, reference), outputs)
    else:
        near = get_close_matches(metric, BUILT_IN, 1)
        raise DataError(
            f"there is no metric '{metric}'", where="metric.name",
            expected=f"{', '.join(BUILT_IN)} or ./file.py:function",
            fix=f"did you mean '{near[0]}'?" if near else None,
        )  # fmt: skip
    return Scores(metric, hits, len(hits))


def summary(scores: Scores) -> Accuracy:
    """Return the metric's value with its interval: Wilson's for scores of 0 and 1, else Student's."""
    values = scores.per_sample
    if scores.metric != "fidelity" and np.isin(values, (0.0, 1.0)).all():
        interval = proportion_interval(int(values.sum()), len(values))
    else:
        interval = mean_interval(values)
    return Accuracy(metric=scores.metric, value=float(values.mean()), n=scores.count, ci95=interval)


def drop(baseline: Scores, scores: Scores, vs: str) -> AccuracyDrop:
    """Compare two models' scores on the same samples; ``vs`` is the baseline's name.

    Of a metric that gives a single number, it is not known which samples differ: all count, or none.
    """
    found = paired_drop(baseline.per_sample, scores.per_sample, vs, hits=scores.metric != "fidelity")
    if found.n == scores.count:
        return found
    return found.model_copy(update={"n": scores.count, "disagreements": scores.count if found.disagreements else 0})


def _needed(metric: str, reference: Outputs | None) -> Outputs:
    if reference is None:
        raise DataError(f"the metric '{metric}' needs the outputs of the source model", where="metric.name")
    return reference


def _classes(outputs: Outputs, name: str | None) -> Array:
    """Return class numbers [samples, ...]; class scores become the number of the highest."""
    name = name or next(iter(outputs))
    if name not in outputs:
        raise DataError(f"there is no output '{name}'", where="metric", expected=", ".join(outputs))
    if outputs[name].dtype.kind in "biu":
        return _squeezed(outputs[name])
    flat = _class_scores(outputs[name])
    if flat.ndim < 2:
        raise DataError(
            "the output has no axis of classes", where=f"output '{name}'", got=f"{flat.dtype}{list(flat.shape)}",
            expected="[samples, classes]", fix="write the metric as a function: metric.name: ./file.py:function",
        )  # fmt: skip
    broken = np.isnan(flat).reshape(len(flat), -1).any(axis=1)
    if broken.any():
        raise DataError(
            "the model's output is NaN", where=f"output '{name}', sample {int(broken.argmax())}",
            got=f"NaN in {int(broken.sum())} of {len(flat)} samples",
        )  # fmt: skip
    classes: Array = flat.argmax(axis=-1)
    return classes


def _known(labels: Array, outputs: Outputs, name: str | None) -> Array:
    """Return the labels if the model has a class for each: labels that count from 1 are the usual mistake."""
    scores = _class_scores(outputs[name or next(iter(outputs))])
    if scores.dtype.kind in "biu" or labels.dtype.kind not in "biuf" or not labels.size:
        return labels
    count, low, high = scores.shape[-1], labels.min(), labels.max()
    if low < 0 or high >= count:
        raise DataError(
            "a label is no class of the model", where="data.evaluation", got=f"labels from {low} to {high}",
            expected=f"0 to {count - 1}", fix="number the classes as the model does, from 0",
        )  # fmt: skip
    return labels


def _class_scores(array: Array) -> Array:
    """Return the scores with the classes last: [samples, classes], or with tokens, rows and columns between."""
    last = np.moveaxis(array, 1, -1) if array.ndim == 4 or array.shape[-1] == 1 else array
    scores = last.squeeze(tuple(axis for axis in range(1, last.ndim - 1) if last.shape[axis] == 1))
    return scores[..., 0] if scores.shape[-1] == 1 else scores  # one score is no axis of classes


def _squeezed(array: Array) -> Array:
    return array.squeeze(tuple(axis for axis in range(1, array.ndim) if array.shape[axis] == 1))


def _hits(predicted: Array, labels: Array) -> Floats:
    """Return the share of hits per sample [samples]."""
    wanted = _squeezed(labels)
    if wanted.dtype.kind not in "biuf" or predicted.shape != wanted.shape:
        raise DataError(
            "the labels do not fit the output", where="data.evaluation",
            got=f"labels {labels.dtype}{list(labels.shape)}", expected=f"class numbers {list(predicted.shape)}",
            fix="give class numbers from 0, not names or one-hot rows",
        )  # fmt: skip
    hits: Floats = (predicted == wanted).reshape(len(wanted), -1).mean(axis=1, dtype=np.float64)
    return hits


def _own(metric: Metric, outputs: Outputs, labels: Array | None, reference: Outputs | None) -> Scores:
    name = getattr(metric, "__name__", "metric")
    count = len(next(iter(outputs.values())))
    everything = _call(metric, name, outputs, labels, reference)
    if everything.ndim == 0:
        return Scores(name, _pseudo_values(metric, name, outputs, labels, reference), count)
    if everything.shape != (count,):
        raise DataError(
            "the metric returns the wrong shape", where=_place(metric, name), got=str(list(everything.shape)),
            expected=f"{_EXPECTED}; there are {count} samples",
        )  # fmt: skip
    return Scores(name, everything, count)


def _pseudo_values(
    metric: Metric, name: str, outputs: Outputs, labels: Array | None, reference: Outputs | None
) -> Floats:
    """Return the jackknife's pseudo-values [groups], centred so that their mean is the metric of all samples."""
    count = len(next(iter(outputs.values())))
    groups = min(_GROUPS, count)
    if groups < 2:
        raise DataError("one sample gives a metric no interval", where=name, fix="give more evaluation samples")
    member = np.arange(count) % groups
    whole = _call(metric, name, outputs, labels, reference)
    without = np.array(
        [
            _call(metric, name, *(_rows(part, member != group) for part in (outputs, labels, reference)))
            for group in range(groups)
        ]
    )
    pseudo: Floats = whole + (groups - 1) * (without.mean() - without)
    return pseudo


def _rows(part: Any, chosen: NDArray[np.bool_]) -> Any:
    if part is None:
        return None
    return {name: array[chosen] for name, array in part.items()} if isinstance(part, Mapping) else part[chosen]


def _call(metric: Metric, name: str, outputs: Outputs, labels: Array | None, reference: Outputs | None) -> Floats:
    try:
        returned = metric(outputs, labels, reference)
        found = np.asarray(returned)
    except MloptError:
        raise
    except Exception as error:  # a recipe's own code may raise anything; it is the user's to fix
        where = own_line(error) or _place(metric, name)
        raise DataError("the metric failed", where=where, got=f"{type(error).__name__}: {error}") from error
    if found.dtype.kind not in "biuf":
        raise DataError(
            "the metric does not return numbers", where=_place(metric, name), got=type(returned).__name__,
            expected=_EXPECTED,
        )  # fmt: skip
    scores = found.astype(np.float64)
    if np.isnan(scores).any():
        where = _place(metric, name)
        raise DataError("the metric returned NaN", where=where, got=f"NaN for sample {int(np.isnan(scores).argmax())}")
    return scores


def _place(metric: Metric, name: str) -> str:
    code = getattr(metric, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else name
