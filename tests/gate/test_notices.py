"""What gates on accuracy make foreseeable: too few samples to decide them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlopt.gate.notices import sample_notice


def gate(metric: str = "accuracy.drop_pt", confidence: float = 0.95, **limits: float) -> Any:
    return SimpleNamespace(**{"metric": metric, "max": None, "confidence": confidence, **limits})


def test_too_few_samples_are_said_beforehand() -> None:
    (notice,) = sample_notice([gate(max=0.5)], 1500, "accuracy")
    assert notice == (
        "a drop of at most 0.5 pt takes about 1,570 evaluation samples if the models differ on 0.5% of them, "
        "6,280 on 2%; there are 1,500"
    )


def test_more_confidence_takes_more_samples() -> None:
    (notice,) = sample_notice([gate(max=0.5, confidence=0.99)], 6300, "agreement")
    assert "9,344 on 2%" in notice


@pytest.mark.parametrize(
    ("one", "n", "metric"),
    [
        (gate(max=0.5), 6280, "accuracy"),
        (gate(min=0.9, metric="accuracy.value"), 10, "accuracy"),
        (gate(max=0.0), 10, "accuracy"),
        (gate(max=0.5), 10, "fidelity"),
        (gate(max=0.5), 10, lambda outputs, labels, reference: 0.0),
    ],
)
def test_nothing_is_said_where_samples_are_enough_or_nothing_is_known(one: Any, n: int, metric: Any) -> None:
    assert sample_notice([one], n, metric) == ()
