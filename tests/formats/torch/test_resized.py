"""Layers of other sizes than build() makes: told as data, and made so again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from prunable_models import EVERY, made
from torch import nn

from mlopt.formats.torch.model import load_module, open_torch, read_source, save_changed
from mlopt.formats.torch.rebuild import resize
from mlopt.formats.torch.resized import changed, sizes


def narrowed(model: nn.Module) -> nn.Module:
    """Make the hidden layer of a net half as wide, by hand."""
    model[0].weight = nn.Parameter(model[0].weight.detach()[:4])
    model[0].bias = nn.Parameter(model[0].bias.detach()[:4])
    model[0].out_features = model[2].in_features = 4
    model[2].weight = nn.Parameter(model[2].weight.detach()[:, :4])
    return model


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def test_what_changed_is_told_and_nothing_else() -> None:
    assert changed(sizes(net()), sizes(net())) == {}
    assert changed(sizes(net()), sizes(narrowed(net()))) == {
        "0": {"numbers": {"out_features": 4}, "shapes": {"weight": [4, 6], "bias": [4]}},
        "2": {"numbers": {"in_features": 4}, "shapes": {"weight": [3, 4]}},
    }


def test_a_fresh_module_is_made_as_small() -> None:
    small, fresh = narrowed(net()), net()
    resize(fresh, changed(sizes(net()), sizes(small)))
    fresh.load_state_dict(small.state_dict())
    x = torch.rand(2, 6)
    assert torch.equal(fresh(x), small(x))
    assert str(fresh) == str(small)


def test_what_shares_memory_still_does() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    model[1].weight = model[0].weight
    resize(model, {name: {"shapes": {"weight": [3, 6]}} for name in ("0", "1")})
    assert model[1].weight is model[0].weight


def test_a_layer_that_is_gone_is_told() -> None:
    with pytest.raises(LookupError, match="gone"):
        resize(net(), {"gone": {"numbers": {"out_features": 4}}})


@pytest.mark.heavy
@pytest.mark.parametrize("name", EVERY)
def test_a_pruned_model_is_kept_without_a_pickle_and_loads_for_further_training(tmp_path: Path, name: str) -> None:
    pytest.importorskip("torch_pruning", reason="needs the extra mlopt[prune]")
    from mlopt.compress.prune.settings import Structure
    from mlopt.compress.prune.structured import Pruner

    model = made(tmp_path, name)
    module = load_module(model)
    fed = torch.randint(0, 50, (2, 12)) if name == "transformer" else torch.rand(2, 3, 16, 16)
    Pruner(module, (fed,), Structure(round_to=4)).by(0.5)
    kept = open_torch(save_changed(model, module.model, tmp_path / "kept"))
    again = load_module(kept)
    assert torch.equal(again(fed)[0], module(fed)[0])
    assert kept.digest != model.digest
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"source.json", "weights.safetensors"}
    assert read_source(kept.path)["sizes"]
    Pruner(again, (fed,), Structure(round_to=1)).by(0.2)
    twice = open_torch(save_changed(kept, again.model, tmp_path / "twice"))
    assert torch.equal(load_module(twice)(fed)[0], again(fed)[0])
    again.model.train()
    again(fed)[0].sum().backward()
    assert all(parameter.grad is not None for parameter in again.parameters())
