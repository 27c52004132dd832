"""What changes while a model learns: it is copied and put back whole, and only what should decay does."""

from __future__ import annotations

import pytest
import torch
from tiny_training import net, settings, weights

from mlopt.compress.train.learner import Learner, parameter_groups
from mlopt.compress.train.objectives import Classification


def learner(**more: object) -> tuple[Learner, torch.nn.Module]:
    model = net()
    return Learner(model, Classification(), settings(**more), torch.device("cpu")), model


def stepped(one: Learner, model: torch.nn.Module, times: int = 3) -> None:
    for number in range(times):
        one.step(model(torch.ones(4, 6))[0].square().mean(), 0.1)
        one.average(number)


def test_biases_and_norms_do_not_decay() -> None:
    matrices, others = parameter_groups(net().model, 0.1)
    assert (matrices["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert {each.ndim for each in matrices["params"]} == {2}
    assert len(matrices["params"]) + len(others["params"]) == len(list(net().parameters()))


@pytest.mark.parametrize("more", [{}, {"optimizer": "sgd"}, {"ema": 0.9}])
def test_what_is_put_back_goes_on_as_it_did(more: dict[str, object]) -> None:
    one, model = learner(**more)
    stepped(one, model)
    kept = one.snapshot()
    stepped(one, model)
    first = weights(model)
    one.restore(kept)
    stepped(one, model)
    assert weights(model) == first


def test_the_best_comes_back_whatever_follows() -> None:
    one, model = learner()
    stepped(one, model)
    best = weights(model)
    one.keep_best()
    stepped(one, model)
    assert weights(model) != best
    one.take_best()
    assert weights(model) == best


def test_while_it_is_judged_it_is_the_average() -> None:
    one, model = learner(ema=0.9)
    stepped(one, model)
    own = weights(model)
    with one.evaluating():
        assert weights(model) != own
        assert not model.model.training
    assert weights(model) == own
