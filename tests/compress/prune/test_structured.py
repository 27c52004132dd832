"""Channels out of networks of all kinds: what is left runs, answers in the same shapes, and is as small as asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from prunable_models import EVERY, ROWS, STUBBORN, built, made
from torch import Tensor

from mlopt.compress.prune.settings import Structure
from mlopt.compress.prune.structured import Pruner, cost
from mlopt.core.errors import PassError
from mlopt.formats.torch.model import load_module
from mlopt.formats.torch.module import Flat

pytestmark = pytest.mark.heavy

pytest.importorskip("torch_pruning", reason="needs the extra mlopt[prune]")


def model(folder: Path, name: str) -> tuple[Flat, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    fed = torch.randint(0, 50, (2, 12)) if name == "transformer" else torch.rand(2, 3, 16, 16)
    return load_module(made(folder, name)), (fed,)


def pruner(folder: Path, name: str, **how: object) -> Pruner:
    return Pruner(*model(folder, name), Structure(**how))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("scope", ["layer", "isomorphic", "global"])
def test_what_is_left_is_as_small_as_asked_and_answers_in_the_same_shapes(
    tmp_path: Path, name: str, scope: str
) -> None:
    one = pruner(tmp_path, name, scope=scope, round_to=4)
    before, shapes = cost(one.model, one.examples), [value.shape for value in one.model(*one.examples)]
    amount = one.least(lambda now: now.macs / (0.6 * before.macs), "60 %")
    one.by(amount.ratio, amount.less)
    after = cost(one.model, one.examples)
    assert 0.2 * before.macs < after.macs <= 0.6 * before.macs
    assert after.params < before.params
    answers = one.model(*one.examples)
    assert [value.shape for value in answers] == shapes
    assert all(torch.isfinite(value).all() for value in answers)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("left", [0.3, 0.5, 0.7])
def test_no_layer_loses_a_step_that_the_model_could_have_kept(tmp_path: Path, name: str, left: float) -> None:
    one = pruner(tmp_path, name)
    whole = cost(one.model, one.examples).macs

    def used(**less: float) -> float:
        return cost(one.copy(amount.ratio, {**amount.less, **less}), one.examples).macs / (left * whole)

    amount = one.least(lambda now: now.macs / (left * whole), "")
    assert used() <= 1
    more = [used(**{group: amount.ratio - 0.001}) for group in one.groups() if group not in amount.less]
    assert used() >= 0.98 or all(each > 1 or each == used() for each in more)


def test_layers_that_lose_less_are_as_wide_as_they_are_told(tmp_path: Path) -> None:
    one = pruner(tmp_path, "cnn")
    one.by(0.5, {"second": 0.25})
    assert (one.model.model.first.weight.shape[0], one.model.model.second.weight.shape[0]) == (16, 24)


@pytest.mark.parametrize("layer", ["first", "third"])
def test_a_share_is_heard_by_whichever_layer_of_a_group_has_it(tmp_path: Path, layer: str) -> None:
    one = pruner(tmp_path, "cnn", ratios={layer: 0.75})
    one.by(0.25)
    network = one.model.model
    assert [each.weight.shape[0] for each in (network.first, network.second, network.third)] == [8, 24, 8]


@pytest.mark.parametrize("importance", ["magnitude", "bn_scale", "random"])
def test_each_importance_prunes(tmp_path: Path, importance: str) -> None:
    one = pruner(tmp_path, "cnn", importance=importance)
    before = cost(one.model, one.examples)
    one.by(0.5)
    assert cost(one.model, one.examples).macs < 0.7 * before.macs


def test_a_copy_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    one = pruner(tmp_path, "cnn")
    before, answers = cost(one.model, one.examples), one.model(*one.examples)[0]
    one.copy(0.5)
    assert cost(one.model, one.examples) == before
    assert torch.equal(one.model(*one.examples)[0], answers)


def test_the_least_important_channels_go(tmp_path: Path) -> None:
    fed = (torch.rand(2, 3, 16, 16),)
    network = load_module(made(tmp_path, "cnn"))
    with torch.no_grad():
        network.model.second.weight[8:] *= 1e-6
    Pruner(network, fed, Structure(keep=("first", "third"))).by(0.75)
    assert network.model.second.weight.shape[0] == 8
    assert float(network.model.second.weight.detach().abs().min()) > 1e-6


def test_layers_whose_width_is_counted_on_stay_whole_and_the_reason_is_told(tmp_path: Path) -> None:
    network = load_module(built(tmp_path, STUBBORN, ROWS))
    found = Pruner(network, (torch.rand(3, 6),), Structure()).by(0.5)
    assert network.model.free.weight.shape == (16, 6)
    assert network.model.counted.weight.shape == (32, 16)
    assert set(found.left) == {"counted", "head"}
    assert all("counts on its width" in why for why in found.left.values())


def test_what_the_recipe_keeps_stays_whole(tmp_path: Path) -> None:
    one = pruner(tmp_path, "cnn", keep=("sec*",))
    found = one.by(0.5)
    assert one.model.model.second.weight.shape[0] == 32
    assert found.left["second"] == "the recipe keeps it"


def test_a_layer_may_have_a_share_of_its_own(tmp_path: Path) -> None:
    one = pruner(tmp_path, "cnn", ratios={"second": 0.75}, round_to=1)
    one.by(0.25)
    assert one.model.model.second.weight.shape[0] == 8
    assert one.model.model.first.weight.shape[0] == 24


def test_if_nothing_can_be_pruned_that_is_told(tmp_path: Path) -> None:
    one = pruner(tmp_path, "cnn", keep=("*",))
    with pytest.raises(PassError, match="no layer of the model can be pruned") as caught:
        one.by(0.5)
    assert "the recipe keeps it" in str(caught.value.problems[0].got)


def test_what_cannot_become_so_small_is_told(tmp_path: Path) -> None:
    one = pruner(tmp_path, "cnn", most=0.3)
    with pytest.raises(PassError, match="cannot be pruned so far") as caught:
        one.least(lambda now: now.macs / 10, "10 MACs")
    assert caught.value.problems[0].expected == "10 MACs"


def test_work_is_counted_by_the_formula(tmp_path: Path) -> None:
    network = load_module(built(tmp_path, STUBBORN, ROWS))
    found = cost(network, (torch.rand(3, 6),))
    assert found.macs == 3 * (6 * 32 + 32 * 32 + 32 * 4)
    assert found.params == 6 * 32 + 32 + 32 * 32 + 32 + 32 * 4 + 4
