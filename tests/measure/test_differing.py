from __future__ import annotations

from typing import Any

import numpy as np

from mlopt.measure.accuracy import Metric, score
from mlopt.measure.differing import differing
from mlopt.results.figures import Disagreement

LOGITS = np.array([[0.1, 0.9, 0.0], [0.8, 0.2, 0.0], [0.3, 0.7, 0.0], [0.6, 0.4, 0.0]])
CHANGED = np.array([[0.1, 0.9, 0.0], [0.1, 0.2, 0.9], [0.9, 0.7, 0.0], [0.6, 0.4, 0.9]])
LABELS = np.array([1, 0, 2, 0])


def found(
    metric: str | Metric, source: Any = LOGITS, final: Any = CHANGED, labels: Any = LABELS
) -> list[tuple[Any, ...]]:
    outputs = {"y": source}, {"y": final}
    scores = tuple(score(metric, one, labels, outputs[0]) for one in outputs)
    rows = differing(metric, (scores[0], scores[1]), outputs, labels)
    assert all(isinstance(row, Disagreement) for row in rows)
    return [(row.sample, row.label, row.reference, row.final) for row in rows]


def test_accuracy_names_the_samples_that_were_lost_or_gained() -> None:
    """Sample 2 is wrong either way: it is no loss, and no drop counts it."""
    assert found("accuracy") == [(1, "0", "0", "2"), (3, "0", "0", "2")]


def test_agreement_names_every_other_class() -> None:
    assert found("agreement", labels=None) == [(1, None, "0", "2"), (2, None, "1", "0"), (3, None, "0", "2")]


def test_of_samples_with_many_classes_the_scores_are_shown() -> None:
    source, final = (np.stack([one, LOGITS]) for one in (LOGITS, CHANGED))  # [2 samples, 4 tokens, 3 classes]
    assert found("agreement", source, final, labels=None) == [(0, None, "1.0000", "0.2500")]


def test_a_function_shows_its_scores_the_largest_loss_first() -> None:
    def own(outputs: Any, labels: Any, reference: Any) -> Any:
        return outputs["y"][:, 0]

    final = LOGITS + np.array([[-0.1], [-0.3], [1e-9], [0.2]])
    assert found(own, final=final) == [
        (1, "0", "0.8000", "0.5000"), (0, "1", "0.1000", "0.0000"), (3, "0", "0.6000", "0.8000"),
    ]  # fmt: skip


def single(outputs: Any, labels: Any, reference: Any) -> float:
    return float(outputs["y"].mean())


def test_a_single_number_names_samples_of_another_class_if_labels_are_classes() -> None:
    assert found(single) == [(1, "0", "0", "2"), (2, "2", "1", "0"), (3, "0", "0", "2")]
    assert found(single, labels=None) == []
    assert found(single, LOGITS[:, 0], CHANGED[:, 0]) == []


def test_models_that_agree_have_nothing_to_show() -> None:
    for metric in ("accuracy", "agreement", "fidelity", single):
        assert found(metric, LOGITS, LOGITS) == []
