"""The recipe's metric as scores per sample, so that two models can be compared sample by sample.

Paired scores are what makes a small drop visible: most samples agree, and only the others carry information. A metric
that gives one number for all samples is paired by asking it about the same resamples of both models. Higher is better
for every metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import DataError, MloptError
from mlopt.core.usercode import own_line, with_traceback
from mlopt.data.ragged import is_ragged
from mlopt.measure import classes, parity, resampling
from mlopt.measure.classes import predicted_classes
from mlopt.measure.known_labels import check_known
from mlopt.measure.statistics import mean_interval, paired_drop, proportion_interval
from mlopt.results.figures import Accuracy, AccuracyDrop

Array = NDArray[Any]
Floats = NDArray[np.float64]
Outputs = Mapping[str, Array]
Metric = Callable[[Outputs, Array | None, Outputs | None], Any]
"""``metric(outputs, labels, reference)``: scores [samples], or one number for all samples.

An output whose size differs from sample to sample is a list of arrays.
"""

BUILT_IN = ("accuracy", "agreement", "sequence_agreement", "fidelity")
OF_CLASSES = BUILT_IN[:3]
Named = str | tuple[str, ...] | None
"""Which outputs a metric looks at; the first if None."""
Rule = Callable[[Array, Array], Floats]
"""Which share of a sample's classes is right: of predicted and wanted ones, [samples, ...], to [samples]."""
_EXPECTED = "a score per sample, [samples], or a single number"


@dataclass(frozen=True)
class Scores:
    """A metric's scores: one per sample, or one per group of samples if the metric gives a single number.

    ``per_sample`` is [n] and its mean is the metric's value; ``count`` is the number of samples behind it.
    ``replicates`` is the single number of resamples [r], the same ones for every model with as many samples.
    """

    metric: str
    per_sample: Floats
    count: int
    replicates: Floats | None = None

    @property
    def value(self) -> float:
        """The metric."""
        return float(self.per_sample.mean())


def score(
    metric: str | Metric,
    outputs: Outputs,
    labels: Array | None = None,
    reference: Outputs | None = None,
    *,
    output: Named = None,
) -> Scores:
    """Score ``outputs`` ({name: [samples, ...]}) with a built-in metric or a function.

    - ``accuracy``: the share of samples whose class (see ``classes``) is the label, in the first output or the one
      named ``output``. Of several labels per sample (tokens, pixels), a sample scores its share of hits.
    - ``agreement``: the same, with the classes that ``reference`` (the source model's outputs) predicts as labels. Of
      several outputs, each sample has the score of the one that agrees least.
    - ``sequence_agreement``: the same, but a sample that reads differently scores 0 (``classes.sequence_hits``).
    - ``fidelity``: the cosine similarity to ``reference``, of the worst output.
    - a function (see ``Metric``). One that returns a single number is asked about resamples (``measure.resampling``).

    Raises ``DataError`` when labels, reference or shapes do not fit, an output or score is NaN, or there is one sample
    and its score is no hit or miss.
    """
    if callable(metric):
        return _own(metric, outputs, labels, reference)
    if metric == "accuracy":
        if labels is None:
            raise DataError(
                "the metric 'accuracy' needs labels, and the evaluation data has none", where="data.evaluation",
                fix="give labels, or use the metric 'agreement', which compares with the source model",
            )  # fmt: skip
        name = output[0] if isinstance(output, tuple) else output
        found = predicted_classes(outputs, name, reference)
        check_known(np.asarray(labels), found, classes.classes_in(outputs, name))
        hits = _shares(classes.hits(found, np.asarray(labels)), found)
    elif metric in OF_CLASSES:
        hits = _agreeing(metric, outputs, _needed(metric, reference), output)
    elif metric == "fidelity":
        hits = _several(parity.cosines(_needed(metric, reference), outputs), metric)
    else:
        near = get_close_matches(metric, BUILT_IN, 1)
        raise DataError(
            f"there is no metric '{metric}'", where="metric.name",
            expected=f"{', '.join(BUILT_IN)}, torchmetrics.NAME or ./file.py:function",
            fix=f"did you mean '{near[0]}'?" if near else None,
        )  # fmt: skip
    return Scores(metric, hits, len(hits))


def summary(scores: Scores) -> Accuracy:
    """Return the metric's value with its interval: Wilson's for scores of 0 and 1, Student's, or by resampling."""
    values = scores.per_sample
    if scores.replicates is not None:
        most = resampling.reach(scores.value, scores.replicates, scores.count)
        interval = resampling.interval(scores.value, scores.replicates, scores.count, most)
    elif scores.metric != "fidelity" and np.isin(values, (0.0, 1.0)).all():
        interval = proportion_interval(int(values.sum()), len(values))
    else:
        interval = mean_interval(values)
    return Accuracy(metric=scores.metric, value=scores.value, n=scores.count, ci95=interval)


def drop(baseline: Scores, scores: Scores, vs: str) -> AccuracyDrop:
    """Compare two models' scores on the same samples; ``vs`` is the baseline's name.

    Of a metric that gives a single number, it is not known which samples differ: all count, or none.
    """
    if baseline.replicates is not None and scores.replicates is not None:
        return _resampled_drop(baseline.replicates, scores.replicates, baseline, scores, vs)
    found = paired_drop(baseline.per_sample, scores.per_sample, vs, hits=scores.metric != "fidelity")
    if found.n == scores.count:
        return found
    return found.model_copy(update={"n": scores.count, "disagreements": scores.count if found.disagreements else 0})


def _resampled_drop(old: Floats, new: Floats, baseline: Scores, scores: Scores, vs: str) -> AccuracyDrop:
    if baseline.count != scores.count:
        raise DataError("the two models were not scored on the same samples",
                        got=f"{baseline.count} and {scores.count} samples")  # fmt: skip
    n, pairs = scores.count, min(len(old), len(new))
    most = max(resampling.reach(baseline.value, old, n), resampling.reach(scores.value, new, n))
    lost = baseline.value - scores.value
    low, high = resampling.interval(lost, old[:pairs] - new[:pairs], n, most)
    same = np.array_equal(old[:pairs], new[:pairs])
    return AccuracyDrop(pt=100 * lost, ci95=(100 * low, 100 * high), n=n, disagreements=0 if same else n, vs=vs)


def _needed(metric: str, reference: Outputs | None) -> Outputs:
    if reference is None:
        raise DataError(f"the metric '{metric}' needs the outputs of the source model", where="metric.name")
    return reference


def _agreeing(metric: str, outputs: Outputs, reference: Outputs, output: Named) -> Floats:
    """Return each sample's agreement, of the output that agrees least."""
    names = output if isinstance(output, tuple) else (output,)
    rule = classes.sequence_hits if metric == "sequence_agreement" else classes.hits
    return np.asarray(np.min([_of_output(rule, outputs, reference, name) for name in names], axis=0))


def _of_output(rule: Rule, outputs: Outputs, reference: Outputs, name: str | None) -> Floats:
    name = name or next(iter(outputs))
    if name not in outputs or not any(is_ragged(side[name]) for side in (outputs, reference)):
        wanted = predicted_classes(reference, name)
        return _shares(rule(predicted_classes(outputs, name, reference), wanted), wanted)
    pairs = zip(outputs[name], reference[name], strict=True)
    return _several(np.array([_of_sample(rule, *pair) for pair in pairs]), "the share of hits")


def _of_sample(rule: Rule, output: Array, reference: Array) -> float:
    """Return the agreement of one sample whose outputs have a size of their own; none if the sizes differ."""
    if output.shape != reference.shape or not output.size:
        return float(output.shape == reference.shape)
    one, other = {"": output[np.newaxis]}, {"": reference[np.newaxis]}
    return float(rule(predicted_classes(one, "", other), predicted_classes(other, ""))[0])


def _shares(hits: Floats, predicted: Array) -> Floats:
    """Return hits; several a sample are shares, which no single sample has an interval of."""
    return hits if predicted.size == len(predicted) else _several(hits, "the share of hits")


def _own(metric: Metric, outputs: Outputs, labels: Array | None, reference: Outputs | None) -> Scores:
    name = getattr(metric, "__name__", "metric")
    count = len(next(iter(outputs.values())))
    everything = _call(metric, name, outputs, labels, reference)
    if everything.ndim == 0:
        return _one_number(metric, name, float(everything), outputs, labels, reference)
    if everything.shape != (count,):
        raise DataError(
            "the metric returns the wrong shape", where=_place(metric, name), got=str(list(everything.shape)),
            expected=f"{_EXPECTED}; there are {count} samples",
        )  # fmt: skip
    hits = np.isin(everything, (0.0, 1.0)).all()
    return Scores(name, everything if hits else _several(everything, name), count)


def _one_number(
    metric: Metric, name: str, whole: float, outputs: Outputs, labels: Array | None, reference: Outputs | None
) -> Scores:
    count = len(next(iter(outputs.values())))
    if count < 2:
        raise _one_sample(name)

    def of(rows: Array) -> float:
        return float(_call(metric, name, *(_rows(part, rows) for part in (outputs, labels, reference))))

    pseudo = resampling.pseudo_values(of, whole, count)
    return Scores(name, pseudo, count, resampling.replicates(of, count))


def _several(scores: Floats, name: str) -> Floats:
    """Return the scores, of which an interval takes two unless they are hits; raises ``DataError``."""
    if len(scores) < 2:
        raise _one_sample(name)
    return scores


def _one_sample(name: str) -> DataError:
    return DataError("one sample gives a metric no interval", where=name, fix="give more evaluation samples")


def _rows(part: Any, chosen: Array) -> Any:
    if part is None:
        return None
    return {name: array[chosen] for name, array in part.items()} if isinstance(part, Mapping) else part[chosen]


def _call(metric: Metric, name: str, outputs: Outputs, labels: Array | None, reference: Outputs | None) -> Floats:
    outputs, reference = _listed(outputs), None if reference is None else _listed(reference)
    try:
        returned = metric(outputs, labels, reference)
        found = np.asarray(returned)
    except MloptError:
        raise
    except Exception as error:  # a recipe's own code may raise anything; it is the user's to fix
        where = own_line(error) or _place(metric, name)
        failed = DataError("the metric failed", where=where, got=f"{type(error).__name__}: {error}")
        raise with_traceback(failed, error) from error
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


def _listed(outputs: Outputs) -> Outputs:
    """Give what differs in size from sample to sample as a list of arrays."""
    return {name: list(array) if is_ragged(array) else array for name, array in outputs.items()}  # type: ignore[misc]


def _place(metric: Metric, name: str) -> str:
    code = getattr(metric, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else name
