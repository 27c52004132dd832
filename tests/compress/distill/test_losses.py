"""The losses of distillation, each against its formula, computed by hand in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mlopt.compress.distill import losses

Array = NDArray[np.float64]
RANDOM = np.random.default_rng(0)
OURS, THEIRS = RANDOM.normal(size=(2, 5, 4)) * 3
LABELS = np.array([0, 3, 1, 1, 2])


def softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Array = raised / raised.sum(axis=1, keepdims=True)
    return found


def divergence(theirs: Array, ours: Array) -> float:
    """KL(theirs || ours), the mean over rows."""
    return float((theirs * (np.log(theirs) - np.log(ours))).sum(axis=1).mean())


def of(loss: Callable[..., torch.Tensor], *arrays: Array, **more: float) -> float:
    return float(loss(*(torch.from_numpy(each).double() for each in arrays), **more))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 8.0])
def test_kd_is_the_squared_temperature_times_the_divergence_of_softened_classes(temperature: float) -> None:
    by_hand = temperature**2 * divergence(softmax(THEIRS / temperature), softmax(OURS / temperature))
    assert of(losses.kd, OURS, THEIRS, temperature=temperature) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_gradient_of_kd_is_the_temperature_times_the_difference_of_classes_over_the_samples(
    temperature: float,
) -> None:
    """So it is as large at any temperature, and a batch of any size: what batchmean and T² are for."""
    ours = torch.tensor(OURS, requires_grad=True)
    losses.kd(ours, torch.tensor(THEIRS), temperature).backward()
    by_hand = temperature * (softmax(OURS / temperature) - softmax(THEIRS / temperature)) / len(OURS)
    np.testing.assert_allclose(ours.grad, by_hand, rtol=1e-4, atol=1e-6)


def test_a_batch_twice_over_has_the_same_loss() -> None:
    twice = (np.concatenate([OURS, OURS]), np.concatenate([THEIRS, THEIRS]))
    assert of(losses.kd, *twice, temperature=3) == pytest.approx(of(losses.kd, OURS, THEIRS, temperature=3))


def test_classes_of_pixels_count_as_samples() -> None:
    ours, theirs = (each.T.reshape(1, 4, 5) for each in (OURS, THEIRS))
    assert of(losses.kd, ours, theirs, temperature=2) == pytest.approx(of(losses.kd, OURS, THEIRS, temperature=2))


@pytest.mark.parametrize(("temperature", "beta"), [(1.0, 1.0), (4.0, 8.0)])
def test_dkd_takes_the_right_class_apart(temperature: float, beta: float) -> None:
    ours, theirs = softmax(OURS / temperature), softmax(THEIRS / temperature)
    rows = np.arange(5)

    def two_way(classes: Array) -> Array:
        right = classes[rows, LABELS]
        return np.stack([right, 1 - right], axis=1)

    def others(logits: Array) -> Array:
        left = np.stack([np.delete(row, label) for row, label in zip(logits, LABELS, strict=True)])
        return softmax(left / temperature)

    by_hand = divergence(two_way(theirs), two_way(ours)) + beta * divergence(others(THEIRS), others(OURS))
    found = losses.dkd(torch.tensor(OURS), torch.tensor(THEIRS), torch.tensor(LABELS), temperature, beta)
    assert float(found) == pytest.approx(temperature**2 * by_hand, rel=1e-4)


def test_with_the_right_class_alone_and_the_others_weighed_by_their_share_dkd_is_kd() -> None:
    """KL = KL of the right class + (1 - p) · KL of the others, of the teacher's p; here p is the same in each row."""
    theirs = np.stack([np.roll([2.0, 0.5, -1.0, 0.0], label) for label in LABELS])
    share = 1 - softmax(theirs)[0, LABELS[0]]
    found = losses.dkd(torch.tensor(OURS), torch.tensor(theirs), torch.tensor(LABELS), 1.0, float(share))
    assert float(found) == pytest.approx(of(losses.kd, OURS, theirs, temperature=1.0), rel=1e-5)


def test_embeddings_are_compared_by_direction_and_distance() -> None:
    cosines = (OURS * THEIRS).sum(1) / np.linalg.norm(OURS, axis=1) / np.linalg.norm(THEIRS, axis=1)
    by_hand = 1 - cosines.mean() + ((OURS - THEIRS) ** 2).mean()
    assert of(losses.embedding, OURS, THEIRS) == pytest.approx(by_hand, rel=1e-5)
    assert of(losses.embedding, OURS, OURS) == pytest.approx(0, abs=1e-6)


def test_attention_is_compared_by_maps_of_length_one_whatever_the_channels() -> None:
    ours, theirs = RANDOM.normal(size=(2, 3, 4, 4)), RANDOM.normal(size=(2, 8, 4, 4))

    def maps(features: Array) -> Array:
        flat = (features**2).mean(axis=1).reshape(2, -1)
        found: Array = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        return found

    by_hand = ((maps(ours) - maps(theirs)) ** 2).sum(axis=1).mean()
    assert of(losses.attention, ours, theirs) == pytest.approx(by_hand, rel=1e-5)
    assert of(losses.attention, ours, 7 * ours) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("loss", [losses.embedding, losses.attention])
def test_what_is_the_same_has_no_loss_and_no_gradient(loss: Callable[..., torch.Tensor]) -> None:
    values = torch.tensor(RANDOM.normal(size=(2, 3, 4, 4)))
    own = values.clone().requires_grad_()
    loss(own, values).backward()
    assert own.grad is not None
    assert float(own.grad.abs().max()) < 1e-6
