"""Torch-Pruning, told what it cannot see by itself: how many heads attention has, and widths that are multiples.

This module imports torch: import it inside functions only.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mlopt.compress.prune.gradients import GradientSums
from mlopt.compress.prune.settings import Structure
from mlopt.core.errors import MissingPackage
from mlopt.core.packages import install_command
from mlopt.formats.torch.module import Flat

_HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nheads", "heads")
"""What modules call the number of their attention heads."""
_ALL_HEADS = ("all_head_size", "inner_dim", "embed_dim_qkv")
"""What they call the width of all heads together."""
_TO_HEADS = re.compile(r"(^|_)(w?[qkv]|w?qkv|w?kv|query|key|value|in)(_|$)|^(q|k|v)_?(proj|lin)$")
"""The names of the layers that make queries, keys and values."""
_LESS = 1e-9
"""So that what is rounded up leaves one head."""
ROOTS = (nn.modules.conv._ConvNd, nn.Linear, nn.LSTM)
"""The layers that channels are taken from."""


def heads_of(model: nn.Module) -> Iterator[tuple[nn.Module, str, list[nn.Linear]]]:
    """Yield the modules that state how many attention heads they have, under which name, and what makes the heads."""
    for part in model.modules():
        name = next((each for each in _HEADS if type(getattr(part, each, None)) is int), None)
        count = 0 if name is None else getattr(part, name)
        layers = [
            layer for called, layer in part.named_children()
            if isinstance(layer, nn.Linear) and _TO_HEADS.search(called) and count and layer.out_features % count == 0
        ]  # fmt: skip
        if name is not None and count > 1 and layers and not isinstance(part, nn.MultiheadAttention):
            yield part, name, layers


def import_torch_pruning() -> Any:
    """Return the library; raises ``MissingPackage``."""
    try:
        return importlib.import_module("torch_pruning")
    except ImportError as error:
        raise MissingPackage("Torch-Pruning is not installed", got=str(error), fix=install_command("prune")) from error


def prune(
    model: Flat, examples: Sequence[Tensor], how: Structure, ratios: Mapping[str, float], spared: Collection[str],
    sums: GradientSums | None,
) -> None:  # fmt: skip
    """Take channels and heads out of a model, in place; see ``library_pruner``."""
    torch.manual_seed(how.seed)
    library = library_pruner(model, examples, how, ratios, spared)
    if sums is not None:
        sums.lay(model, library.importance)
    library.step()
    model.zero_grad(set_to_none=True)
    for part, name, layers in heads_of(model):
        if (left := library.num_heads.get(layers[0], getattr(part, name))) != getattr(part, name):
            setattr(part, name, left)
            for each in _ALL_HEADS:
                if hasattr(part, each):
                    setattr(part, each, layers[0].out_features)


def library_pruner(
    model: Flat, examples: Sequence[Tensor], how: Structure, ratios: Mapping[str, float], spared: Collection[str]
) -> Any:  # fmt: skip
    """Return the library's pruner of a model; the mappings that it fills are its own.

    ``ratios`` are the shares to take from groups of layers, by the name of their first layer, and for all others by
    the name ``""``. In ``scope: layer`` it has each group by name: by itself the library takes an attention and the
    layer after it for one, and leaves one of them whole. ``spared`` are first layers of groups to leave whole.
    """
    parts = dict(model.named_modules())
    own = {parts[name]: ratio for name, ratio in ratios.items() if name}
    heads = {layer: getattr(part, name) for part, name, layers in heads_of(model) for layer in layers}
    some_heads: dict[nn.Module, float] = {}
    for _, _, layers in heads_of(model):
        ratio = next((own[layer] for layer in layers if layer in own), ratios.get("", 0.0))
        some_heads |= {layer: min(ratio, (heads[layer] - 1) / heads[layer] - _LESS) for layer in layers}
    with torch.enable_grad():
        return _pruner_class()(
            model, tuple(examples), importance=_importance(how), pruning_ratio=ratios.get("", 0.0),
            pruning_ratio_dict=own, max_pruning_ratio=how.most, global_pruning=how.scope != "layer",
            isomorphic=how.scope == "isomorphic", round_to=how.round_to,
            ignored_layers=[parts[name] for name in spared], num_heads=heads, prune_num_heads=how.scope == "layer",
            prune_head_dims=False, head_pruning_ratio_dict=some_heads, in_channel_groups={}, out_channel_groups={},
            root_module_types=list(ROOTS),
        )  # fmt: skip


def _pruner_class() -> Any:
    """Return the library's class with another rounding: its own may take all of a layer, and all groups for one."""
    library = import_torch_pruning()

    class Rounding(library.pruner.BasePruner):  # type: ignore[misc, name-defined]  # the library has no types
        _repeats = 1

        def _is_atten_group(self, group: Any) -> Any:  # asked about each group right before its width is rounded
            self._repeats = self._get_channel_groups(group)
            return super()._is_atten_group(group)

        def _round_to(self, wanted: int, width: int, round_to: int) -> int:
            return taken(wanted, width, round_to, self._repeats)

    return Rounding


def taken(wanted: int, width: int, round_to: int, repeats: int = 1) -> int:
    """Return how many channels to take for a width that is a multiple of ``round_to``, of which something is left.

    Of a width in ``repeats`` equal parts (the groups of a convolution) each loses the same: wanted and returned are
    those of one part.
    """
    step = math.lcm(round_to, repeats)
    left = max(step, (width - wanted * repeats) // step * step)
    return max(0, width - left) // repeats


def _importance(how: Structure) -> Any:
    every = import_torch_pruning().importance
    made = {
        "magnitude": every.GroupMagnitudeImportance, "taylor": every.GroupTaylorImportance,
        "hessian": every.GroupHessianImportance, "bn_scale": every.BNScaleImportance, "random": every.RandomImportance,
    }  # fmt: skip
    return made[how.importance]()


def own_name(name: str) -> str:
    """Return what the recipe's author calls a layer."""
    return name.removeprefix("model.")
