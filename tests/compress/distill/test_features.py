"""Layers of student and teacher side by side."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mlopt.compress.distill import losses
from mlopt.compress.distill.features import Projectors, watched
from mlopt.core.errors import ModelError


def net(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))


def test_what_layers_return_is_seen_and_the_hooks_go() -> None:
    model = net(4)
    with watched(model, ["0", "2"], "net.py") as seen:
        model(torch.rand(2, 3, 6, 6))
        assert {name: tuple(value.shape) for name, value in seen.items()} == {"0": (2, 4, 4, 4), "2": (2, 64)}
    assert all(not part._forward_hooks for part in model.modules())


def test_a_name_that_there_is_not_is_told_with_the_nearest() -> None:
    with pytest.raises(ModelError, match="no such layer") as caught, watched(net(4), ["encoder.0"], "net.py"):
        pass
    assert caught.value.problems[0].where == "net.py"


def test_of_the_same_width_there_is_nothing_to_project() -> None:
    ours, theirs = {"a": torch.rand(2, 4, 3, 3)}, {"b": torch.rand(2, 4, 3, 3)}
    found = Projectors({"a": "b"}, ours, theirs)
    assert list(found.parameters()) == []
    assert float(found.loss(ours, theirs, "mse")) == pytest.approx(float((ours["a"] - theirs["b"]).pow(2).mean()))


@pytest.mark.parametrize("shape", [(2, 4, 3, 3), (2, 7, 4)])
def test_other_widths_are_projected_and_that_learns(shape: tuple[int, ...]) -> None:
    channels = 1 if len(shape) == 4 else -1
    wide = list(shape)
    wide[channels] = 9
    ours, theirs = {"a": torch.rand(shape)}, {"b": torch.rand(wide)}
    found = Projectors({"a": "b"}, ours, theirs)
    (weight,) = found.parameters()
    found.loss(ours, theirs, "mse").backward()
    assert weight.grad is not None
    assert weight.shape[:2] == (9, 4)


def test_the_teacher_gets_no_gradient() -> None:
    theirs = torch.rand(2, 4, requires_grad=True)
    ours = torch.rand(2, 4, requires_grad=True)
    Projectors({"a": "b"}, {"a": ours}, {"b": theirs}).loss({"a": ours}, {"b": theirs}, "mse").backward()
    assert (ours.grad is not None, theirs.grad) == (True, None)


def test_attention_needs_no_projection() -> None:
    ours, theirs = {"a": torch.rand(2, 4, 3, 3)}, {"b": torch.rand(2, 9, 3, 3)}
    found = Projectors({"a": "b"}, ours, theirs).loss(ours, theirs, "attention")
    assert float(found.detach()) == pytest.approx(float(losses.attention(ours["a"], theirs["b"])))


def test_layers_of_other_rank_are_no_pair() -> None:
    with pytest.raises(ModelError, match="different rank"):
        Projectors({"a": "b"}, {"a": torch.rand(2, 4)}, {"b": torch.rand(2, 4, 3, 3)})
