"""From a metric's name to what scores by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlopt.core.errors import RecipeError
from mlopt.measure import accuracy
from mlopt.measure.metric import load_metric, metric_problems


def test_a_metric_has_its_keys(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "own.py").write_text("def margin(outputs, labels, reference):\n    return outputs['y'][:, 0]\n")
    own: Any = load_metric("./own.py:margin", tmp_path)
    assert own.__name__ == "margin"
    assert load_metric("agreement", tmp_path) == "agreement"
    args = {"task": "multiclass", "num_classes": 3, "average": "macro"}
    f1: Any = load_metric("torchmetrics.F1Score", tmp_path, args, "y")
    outputs = {"z": np.zeros((3, 3), np.float32), "y": np.eye(3, dtype=np.float32)}
    assert f1(outputs, np.arange(3), None) == 1.0


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"name": "torchmetrics.F1Scor"}, ["metric.name"]),
        ({"name": "torchmetrics.F1Score", "args": {"task": "multiclass"}}, ["metric.args"]),
        ({"name": "torchmetrics.Accuracy", "args": {"task": "multiclass", "num_classes": 3}}, []),
        ({"name": "accuracy"}, []),
        ({"name": "./not_there.py:function"}, []),
    ],
)
def test_what_can_never_work_is_found_without_data(keys: dict[str, Any], where: list[str]) -> None:
    assert [problem.where for problem in metric_problems(**keys)] == where


def test_an_unknown_metric_is_no_silent_fallback(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such metric"):
        load_metric("torchmetrics.Nothing", tmp_path)
    assert "torchmetrics" not in accuracy.BUILT_IN
