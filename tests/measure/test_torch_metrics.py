from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest

from mlopt.core.errors import DataError, MissingPackage, RecipeError
from mlopt.core.packages import install_command, version
from mlopt.measure.accuracy import drop, score, summary
from mlopt.measure.torch_metrics import TorchMetric

pytestmark = pytest.mark.skipif(version("torchmetrics") is None, reason="needs the extra mlopt[metrics]")

F1 = {"task": "multiclass", "num_classes": 3, "average": "macro"}
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(3, size=120)
LOGITS = (np.eye(3)[LABELS] + RANDOM.normal(0, 0.6, (120, 3))).astype(np.float32)


def f1_by_hand(predicted: np.ndarray, labels: np.ndarray) -> float:
    of_class = []
    for number in range(3):
        hits = ((predicted == number) & (labels == number)).sum()
        of_class.append(2 * hits / ((predicted == number).sum() + (labels == number).sum()))
    return float(np.mean(of_class))


def test_it_is_what_torchmetrics_computes() -> None:
    found = score(TorchMetric("torchmetrics.F1Score", F1), {"logits": LOGITS}, LABELS)
    assert (found.metric, found.count) == ("torchmetrics.F1Score", 120)
    value = summary(found)
    assert value.value == pytest.approx(f1_by_hand(LOGITS.argmax(1), LABELS), abs=1e-6)
    assert value.ci95[0] < value.value < value.ci95[1]
    assert found.replicates is not None


@pytest.mark.heavy
def test_a_drop_is_paired() -> None:
    worse = LOGITS.copy()
    worse[:6] = 1 - np.eye(3)[LABELS[:6]]
    metric = TorchMetric("torchmetrics.classification.MulticlassF1Score", {"num_classes": 3})
    found = drop(*(score(metric, {"y": outputs}, LABELS) for outputs in (LOGITS, worse)), "source")
    expected = f1_by_hand(LOGITS.argmax(1), LABELS) - f1_by_hand(worse.argmax(1), LABELS)
    assert found.pt == pytest.approx(100 * expected, abs=1e-3)
    assert found.ci95[0] < found.pt < found.ci95[1]


def test_axes_of_one_and_other_outputs_do_not_matter() -> None:
    outputs = {"aux": LOGITS[:, ::-1], "main": LOGITS.reshape(120, 3, 1, 1)}
    metric = TorchMetric("torchmetrics.F1Score", F1, "main")
    assert metric(outputs, LABELS[:, None], None) == pytest.approx(f1_by_hand(LOGITS.argmax(1), LABELS), abs=1e-6)
    with pytest.raises(DataError, match="no output 'y'"):
        TorchMetric("torchmetrics.F1Score", F1, "y")(outputs, LABELS, None)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("torchmetrics.F1Scor", F1, "did you mean 'torchmetrics.F1Score'"),
        ("torchmetrics.MulticlassF1Score", {}, "did you mean 'torchmetrics.classification.MulticlassF1Score'"),
        ("torchmetrics.nothing.F1Score", F1, "no such metric"),
        ("torchmetrics.Tensor", {}, "no such metric"),
        ("torchmetrics.F1Score", {}, "cannot be made with these args"),
        ("torchmetrics.F1Score", {**F1, "averag": "macro"}, "averag"),
        ("torchmetrics.F1Score", {**F1, "average": "macr"}, "cannot be made with these args"),
        ("torchmetrics.MeanSquaredError", {}, "lower is better for it"),
        (
            "torchmetrics.ConfusionMatrix",
            {"task": "multiclass", "num_classes": 3},
            "does not say that higher is better",
        ),
    ],
)
def test_what_can_never_work_is_refused_at_once(name: str, args: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        TorchMetric(name, args)


@pytest.mark.parametrize(
    ("args", "outputs", "labels", "message"),
    [
        (F1, LOGITS, None, "needs labels"),
        (F1, LOGITS, LABELS + 5, "does not take these outputs and labels"),
        (F1, LOGITS, LABELS[:7], r"float32\[120, 3\], labels int64\[7\]"),
        (F1, LOGITS, LABELS.astype(str), "the labels are no numbers"),
        (F1, np.where(LOGITS > 1, np.nan, LOGITS), LABELS, "NaN stands in the output"),
        ({**F1, "average": None}, LOGITS, LABELS, "average: macro"),
    ],
)
def test_what_does_not_fit_is_said(args: dict[str, Any], outputs: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        TorchMetric("torchmetrics.F1Score", args)({"y": outputs}, labels, None)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    with pytest.raises(MissingPackage, match=re.escape(install_command("metrics"))):
        TorchMetric("torchmetrics.F1Score", F1)
