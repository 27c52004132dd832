"""What a student makes smaller, put together of its parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_training import net

from mlopt.compress.distill import losses
from mlopt.compress.distill.objective import Distillation, Weights
from mlopt.compress.distill.teacher import Module
from mlopt.compress.train.batch import Batch
from mlopt.compress.train.objectives import cross_entropy
from mlopt.core.errors import DataError

BATCH = Batch({"x": torch.rand(8, 6)}, torch.tensor([0, 1, 0, 1, -1, -1, 1, 0]))
UNLABELLED = Batch(BATCH.inputs, None)


def distillation(**weights: Any) -> Distillation:
    return Distillation(Module(net(seed=1), "the teacher"), Weights(**weights))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_teacher_and_labels_have_their_shares(alpha: float) -> None:
    model, teacher = net(), net(seed=1)
    ours, theirs = model(*BATCH.tensors)[0], teacher(*BATCH.tensors)[0]
    expected = alpha * losses.kd(ours, theirs, 2.0) + (1 - alpha) * cross_entropy(ours, BATCH.labels)
    found = distillation(alpha=alpha, temperature=2.0)(model, BATCH)
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)


def test_without_labels_the_teacher_alone_counts() -> None:
    model, teacher = net(), net(seed=1)
    expected = 0.9 * losses.kd(model(*BATCH.tensors)[0], teacher(*BATCH.tensors)[0], 4.0)
    assert float(distillation()(model, UNLABELLED).detach()) == pytest.approx(float(expected.detach()), rel=1e-6)


def test_the_teacher_is_no_part_of_what_learns() -> None:
    objective = distillation(pairs={"0": "0"})
    objective.meet(net(), BATCH)
    assert list(objective.parameters()) == []
    assert objective.state_dict() == {}


def test_right_classes_are_those_of_the_labels_or_else_of_the_teacher() -> None:
    model, teacher = net(), net(seed=1)
    (_, labelled), (_, not_labelled) = (distillation().judged(model, batch) for batch in (BATCH, UNLABELLED))
    assert labelled is not None
    assert not_labelled is not None
    assert len(labelled) == 6
    ours, theirs = (each(*BATCH.tensors)[0].argmax(1) for each in (model, teacher))
    assert not_labelled.tolist() == (ours == theirs).tolist()
    assert distillation(loss="embedding").judged(model, BATCH)[1] is None


def test_dkd_without_labels_is_told() -> None:
    with pytest.raises(DataError, match="needs a label for each sample"):
        distillation(loss="dkd").meet(net(), UNLABELLED)


@pytest.mark.parametrize("loss", ["kd", "dkd", "embedding"])
def test_each_loss_has_a_gradient(loss: str) -> None:
    model, objective = net(), distillation(loss=loss, alpha=1.0)
    objective.meet(model, BATCH)
    objective(model, BATCH).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
