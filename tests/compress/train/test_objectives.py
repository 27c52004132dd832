"""What a training makes smaller: cross-entropy by hand, labels that are missing, and labels that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_training import net

from mlopt.compress.train.batch import Batch
from mlopt.compress.train.objectives import Classification, Own, check_classes, cross_entropy, hits
from mlopt.core.errors import DataError, ModelError

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5], [-1.0, 3.0, 0.0]], dtype=torch.float64)


def by_hand(rows: list[int], labels: list[int], smoothing: float = 0.0) -> float:
    logits = LOGITS.numpy()[rows]
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    targets = np.full_like(logs, smoothing / 3)
    targets[np.arange(len(rows)), labels] += 1 - smoothing
    return float(-(targets * logs).sum(axis=1).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_the_mean_over_samples(smoothing: float) -> None:
    found = cross_entropy(LOGITS, torch.tensor([0, 2, 1]), smoothing)
    assert float(found) == pytest.approx(by_hand([0, 1, 2], [0, 2, 1], smoothing), rel=1e-5)


def test_samples_without_a_label_do_not_count() -> None:
    assert float(cross_entropy(LOGITS, torch.tensor([0, -1, 1]))) == pytest.approx(by_hand([0, 2], [0, 1]), rel=1e-5)
    assert float(cross_entropy(LOGITS, torch.tensor([-1, -1, -1]))) == 0


def test_without_any_labels_that_is_told() -> None:
    with pytest.raises(DataError, match="no labels to learn from"):
        cross_entropy(LOGITS, None)


def test_hits_are_those_of_labelled_samples() -> None:
    found = hits(LOGITS, torch.tensor([0, -1, 2]))
    assert found is not None
    assert found.tolist() == [True, False]
    assert hits(LOGITS, None) is None
    assert hits(LOGITS[None], torch.tensor([[0, 1, 2]])) is None


def test_a_classifier_is_asked_for_its_first_output() -> None:
    model, objective = net(), Classification()
    batch = Batch({"x": torch.rand(4, 6)}, torch.tensor([0, 1, 1, 0]))
    assert objective(model, batch).item() == pytest.approx(
        cross_entropy(model(batch.inputs["x"])[0], batch.labels).item()
    )
    _, found = objective.judged(model, batch)
    assert found is not None
    assert found.shape == (4,)
    assert len(batch) == 4


def test_a_step_of_the_recipe_gets_its_own_module_and_the_batch_by_name() -> None:
    seen: list[Any] = []

    def step(module: Any, batch: Any) -> dict[str, Any]:
        seen.append((module, sorted(batch)))
        return {"loss": module(batch["x"]).sum(), "more": 3}

    model = net()
    batch = Batch({"x": torch.rand(4, 6)}, torch.tensor([0, 1, 1, 0]))
    assert Own(step, "step.py:step")(model, batch).ndim == 0
    assert seen == [(model.model, ["labels", "x"])]


def test_what_a_step_raises_is_told_with_its_place() -> None:
    def step(_module: Any, _batch: Any) -> None:
        raise KeyError("image")

    with pytest.raises(ModelError, match="the training step failed") as caught:
        Own(step, "step.py:step")(net(), Batch({"x": torch.rand(4, 6)}, None))
    assert caught.value.problems[0].got == "KeyError: 'image'"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (None, "no labels to learn from"),
        (np.array([0.5, 1.0]), "cannot tell what is to be learnt"),
        (np.array([[0, 1], [1, 0]]), "cannot tell what is to be learnt"),
        (np.array([0, 3]), "a label is no class of the model"),
        (np.array([-1, 0]), "a label is no class of the model"),
    ],
)
def test_labels_that_are_no_classes_are_told(labels: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_classes((LOGITS,), labels, "train.npz")


def test_where_some_may_be_missing_they_are_no_error() -> None:
    check_classes((LOGITS,), np.array([0, -1, 2]), "train.npz", some=True)
    with pytest.raises(DataError, match="is no class") as caught:
        check_classes((LOGITS,), np.array([0, -1, 3]), "train.npz", some=True)
    assert caught.value.problems[0].got == "3 in sample 2"


def test_pixels_may_have_classes() -> None:
    check_classes((torch.rand(2, 3, 4, 4),), np.zeros((2, 4, 4), dtype=np.int64), "train.npz")
