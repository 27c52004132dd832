"""The gradients of several batches: their sums, those of their squares, and nothing left in the model."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from mlopt.compress.prune.gradients import GradientSums
from mlopt.formats.torch.module import Flat


class Importance:
    def accumulate_grad(self, model: nn.Module) -> None: ...


def test_all_batches_count_and_are_laid_into_a_copy() -> None:
    model = Flat(nn.Linear(2, 1, bias=False), 1, ())

    def each(module: Flat) -> Iterator[None]:
        for value in (1.0, 3.0):
            module.zero_grad()
            module(torch.full((1, 2), value))[0].sum().backward()
            yield

    found = GradientSums.of(model, each)
    assert found.batches == 2
    assert all(parameter.grad is None for parameter in model.parameters())
    copy, importance = model.fresh(), Importance()
    found.lay(copy, importance)
    assert copy.model.weight.grad.tolist() == [[4.0, 4.0]]
    assert vars(importance)["_accu_grad"][copy.model.weight].tolist() == [[10.0, 10.0]]
    assert vars(importance)["_counter"] == {copy.model.weight: 2}
