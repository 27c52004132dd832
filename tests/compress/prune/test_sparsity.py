"""Single weights that go to zero: how many, which, and that they stay there."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mlopt.compress.prune import sparsity


def net(inputs: int = 8) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(inputs, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5))


@given(st.integers(1, 6), st.integers(1, 5))
def test_every_four_input_channels_have_two_zeros(groups: int, outputs: int) -> None:
    layer = nn.Sequential(nn.Conv2d(4 * groups, outputs, 3), nn.Linear(4 * groups, outputs))
    assert set(sparsity.two_of_four(layer, ())) == {"0", "1"}
    for each in layer:
        fours = each.weight.detach().movedim(1, -1).reshape(-1, 4)
        assert ((fours == 0).sum(1) == 2).all()


def test_a_transposed_convolution_stays_as_it_is() -> None:
    assert sparsity.two_of_four(nn.Sequential(nn.ConvTranspose2d(8, 8, 3)), ()) == {}


def test_the_larger_two_of_four_stay() -> None:
    layer = nn.Sequential(nn.Linear(4, 1, bias=False))
    layer[0].weight.data = torch.tensor([[0.1, -3.0, 2.0, 0.5]])
    sparsity.two_of_four(layer, ())
    assert layer[0].weight.tolist() == [[0.0, -3.0, 2.0, 0.0]]


def test_a_layer_of_other_sizes_stays_as_it_is() -> None:
    model = net(inputs=3)
    assert list(sparsity.two_of_four(model, ())) == ["3"]
    assert not (model[0].weight == 0).any()


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_so_large_a_share_goes_and_it_is_the_smallest(share: float) -> None:
    model = net()
    before = torch.cat([layer.weight.detach().abs().flatten() for _, layer in sparsity.weighted(model, ())])
    masks = sparsity.sparsify(model, share, ())
    assert sparsity.zeros(model) == pytest.approx(share, abs=0.01)
    gone = torch.cat([mask.flatten() == 0 for mask in masks.values()])
    assert before[gone].max() <= before[~gone].min()
    assert not any("mask" in name or "orig" in name for name in model.state_dict())


def test_what_is_kept_is_not_touched() -> None:
    model = net()
    assert list(sparsity.sparsify(model, 0.5, ("3",))) == ["0"]
    assert not (model[3].weight == 0).any()


def test_the_masks_hold_against_a_step() -> None:
    model = net()
    masks = sparsity.two_of_four(model, ())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    sparsity.apply(model, masks)
    assert sparsity.zeros(model) == 0.5
