"""Whether a quantized model is still good enough, by samples that were held back from calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from math import log10
from pathlib import Path

import numpy as np

from mlopt.compress.quantization.versions import Quality
from mlopt.core.errors import DataError, MeasureError, ModelError
from mlopt.data import choice
from mlopt.data.dataset import Array, Dataset, part
from mlopt.data.feeds import predict
from mlopt.formats.onnx.file import open_onnx
from mlopt.measure import accuracy, parity
from mlopt.measure.metric import load_metric
from mlopt.results.budget import SHARE, Budget
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.table import exactly, open_session

_HOLD_BACK_ONE_OF, _MOST_HELD_BACK = 3, 96
_ONE_SIDED = 1.645
"""Standard errors below a mean that it lies beyond with 95 %."""


Outputs = Mapping[str, Array]
Score = Callable[[str, Outputs, Array | None, Outputs], float]
"""``score(metric, outputs, labels, reference)``: the value of the budget's metric, or of one that stands in for it."""


class QualityCheck:
    """Compares models with one FP32 model, on the same samples, in the runtime that is to run them.

    ``deployable`` is the FP32 model and how its versions are opened; it answers itself in full precision.
    """

    def __init__(
        self, deployable: Deployable, samples: Dataset, budget: Budget, *, batch_size: int, score: Score
    ) -> None:
        self.samples = samples
        self.remark: str | None = None
        """What could not be judged, and why."""
        self._deployable, self._budget = deployable, budget
        self._batch_size, self._score = batch_size, score

    def quality(self, path: Path) -> Quality:
        """Run a model; one that fails on a sample, or answers in other shapes, is no good, and no error."""
        expected = self._expected
        try:
            outputs = self._outputs(replace(self._deployable, model=open_onnx(path)))
            found = parity.worst(expected, outputs)
        except (DataError, MeasureError, ModelError) as error:
            return Quality(-1.0, None, None, f"outputs that cannot be compared: {error.problems[0].what}")
        value = None if self._needed is None else self._value(outputs)
        return Quality(found.cosine, found.sqnr_db, value, self._objection(found, value))

    def _objection(self, found: parity.Worst, value: float | None) -> str | None:
        cosines = found.cosines
        if objection := self._of_errors(found):
            return objection
        cosine, least = float(cosines.mean()), 1 - SHARE * (1 - self._budget.cosine)
        if cosine < least:
            return f"cosine {cosine:.4f} is below {least:.4g}"
        surely = cosine - _ONE_SIDED * float(cosines.std(ddof=1)) / len(cosines) ** 0.5 if len(cosines) > 1 else cosine
        if surely < self._budget.cosine:
            return f"cosine {cosine:.4f} on {len(cosines)} samples may be {surely:.4f} on others"
        if value is not None and self._needed is not None and value < self._needed:
            return f"{self._metric} {value:.4g} is below {self._needed:.4g}"
        return None

    def _of_errors(self, found: parity.Worst) -> str | None:
        """Hold the outputs against the limits on their errors; of the noise that one allows, a part is kept in hand."""
        budget = self._budget
        if budget.sqnr_db is not None and found.sqnr_db is not None:
            least = budget.sqnr_db - 10 * log10(SHARE)
            if found.sqnr_db < least:
                return f"SQNR {found.sqnr_db:.1f} dB is below {least:.1f} dB"
        if budget.shift is not None and found.shift > budget.shift:
            return f"scale or offset are off by {found.shift:.3g} of the outputs, more than {budget.shift:g}"
        if budget.worst_part is not None and found.worst_part > budget.worst_part:
            return f"{found.part} is wrong: {found.worst_part:.3g} where 1 is useless"
        if budget.max_abs is not None and found.max_abs > budget.max_abs:
            return f"a value differs by {found.max_abs:.4g}, more than {budget.max_abs:.4g}"
        return None

    @cached_property
    def _needed(self) -> float | None:
        """The least value of the metric, of what it is in FP32; None if there is no limit, or no way to tell."""
        if self._budget.value is None and self._budget.drop_pt is None:
            return None
        try:
            own = self._value(self._expected)
        except DataError as error:
            self.remark = f"{self._metric} cannot be judged on calibration samples: {error.problems[0].what}"
            return None
        allowed = [own - self._budget.value] if self._budget.value is not None else []
        allowed += [self._budget.drop_pt / 100] if self._budget.drop_pt is not None else []
        return own - max(0.0, min(allowed))

    @property
    def _metric(self) -> str:
        """The recipe's metric; class agreement instead of accuracy where there are no labels: it can lose no less."""
        unlabelled = self._budget.metric == "accuracy" and self.samples.labels is None
        return "agreement" if unlabelled else self._budget.metric

    @cached_property
    def _expected(self) -> dict[str, Array]:
        return self._outputs(exactly(self._deployable))

    def _value(self, outputs: Outputs) -> float:
        return self._score(self._metric, outputs, self.samples.labels, self._expected)

    def _outputs(self, judged: Deployable) -> dict[str, Array]:
        with open_session(judged) as session:
            return predict(session.run, self.samples, self._deployable.model.inputs, self._batch_size)


def hold_back(data: Dataset, folder: Path) -> tuple[Dataset, Dataset]:
    """Split samples into those to calibrate on and those to judge by: a third, at most 96.

    Both have each class in its share, and so has whatever the first begin with. A single sample is used for both.
    """
    order = choice.order(data.count, data.labels)
    most = min(max(data.count // _HOLD_BACK_ONE_OF, 1), _MOST_HELD_BACK)
    held, rest = np.sort(order[:most]), order[most:]
    return part(data, rest if len(rest) else held, folder / "calibration"), part(data, held, folder / "judging")


def score_by(budget: Budget) -> Score:
    """Return what scores by the recipe's metric, or by a built-in one that stands in for it."""

    def value(name: str, outputs: Outputs, labels: Array | None, reference: Outputs) -> float:
        built_in = name in accuracy.BUILT_IN
        metric = name if built_in else load_metric(budget.metric, budget.base, budget.args, budget.output)
        return accuracy.score(metric, outputs, labels, reference, output=budget.output).value

    return value
