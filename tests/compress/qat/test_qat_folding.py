"""Batch norms become part of the weights before them, and nothing else changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

pytest.importorskip("torchao", reason="needs the extra mlopt[qat]")
from rounding_models import images, net, prepared, traced

from mlopt.compress.qat.folding import fold_others, fold_trained
from mlopt.compress.qat.quantizer import batch_norms

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]


def test_those_that_torchao_leaves_alone_are_folded_first() -> None:
    graph = traced(net(), images())
    fold_others(graph)
    assert len(list(batch_norms(graph))) == 2
    torch.testing.assert_close(graph(images())[0], net()(images()), atol=1e-5, rtol=1e-5)


def test_those_that_it_trained_are_folded_at_the_end() -> None:
    made = prepared()
    before = made(images())[0]
    fold_trained(made.graph_module)
    assert not list(batch_norms(made.graph_module))
    assert torch.equal(made(images())[0], before)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(5)),  # [samples, 5, 4]: over other channels
        nn.Sequential(nn.BatchNorm1d(5), nn.Linear(6, 4)),
        nn.Sequential(nn.ReLU(), nn.BatchNorm1d(5)),
    ],
)
def test_others_stay(module: nn.Module) -> None:
    graph = traced(module.eval(), torch.randn(3, 5, 6))
    fold_others(graph)
    fold_trained(graph)
    assert len(list(batch_norms(graph))) == 1


def test_weights_that_two_layers_share_are_folded_for_each() -> None:
    class Shared(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1, padding="same")
            self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3, eps=0.5)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.second(self.layer(self.first(self.layer(image))))

    module = Shared().eval()
    wanted = module(images())
    graph = traced(module, images())
    fold_others(graph)
    assert not list(batch_norms(graph))
    torch.testing.assert_close(graph(images())[0], wanted, atol=1e-5, rtol=1e-5)
