"""Channels and heads out of a module, by Torch-Pruning, which knows the layers that have to shrink together.

What it cannot see, it may break: a size that ``forward()`` has written down, an output that loses its columns. So each
group of layers is tried on a copy first, and left whole if the copy no longer answers in the same shapes. This module
imports torch: import it inside functions only.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mlopt.compress.prune.gradients import Gradients, GradientSums
from mlopt.compress.prune.settings import Structure, matches
from mlopt.core.errors import MissingPackage, PassError
from mlopt.core.packages import install_command
from mlopt.formats.torch.module import Flat

_HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nheads", "heads")
"""What modules call the number of their attention heads."""
_ALL_HEADS = ("all_head_size", "inner_dim", "embed_dim_qkv")
"""What they call the width of all heads together."""
_TO_HEADS = re.compile(r"(^|_)(w?[qkv]|w?qkv|w?kv|query|key|value|in)(_|$)|^(q|k|v)_?(proj|lin)$")
"""The names of the layers that make queries, keys and values."""
_HALVINGS = 10
_LESS = 1e-9
"""So that what is rounded up leaves one head."""
_ROOTS = (nn.modules.conv._ConvNd, nn.Linear, nn.LSTM)
_COUNTS_ON_WIDTH = "it changes the shape of an output, or forward() counts on its width"


@dataclass(frozen=True)
class Cost:
    """How much work a model is, for the samples that it was counted on."""

    macs: int
    """Multiplications with addition, of matrix products and convolutions."""
    params: int


@dataclass(frozen=True)
class Pruned:
    """What became of the layers."""

    ratio: float
    """The share of channels that was taken from each layer without a ratio of its own."""
    left: Mapping[str, str]
    """Layers that stay as they are, and why."""


def cost(model: Flat, examples: Sequence[Tensor]) -> Cost:
    """Return the work and the parameters of a model."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(*examples)
    return Cost(counter.get_total_flops() // 2, sum(parameter.numel() for parameter in model.parameters()))


@dataclass
class Pruner:
    """Prunes one model in place, once or several times.

    ``examples`` are the inputs of a batch. Raises ``PassError`` where none of its layers can be pruned.
    """

    model: Flat
    examples: Sequence[Tensor]
    how: Structure
    gradients: Gradients | None = None
    left: dict[str, str] = field(default_factory=dict)
    """Groups of layers that stay whole, by the name of their first layer, and why."""

    def least_ratio(self, wanted: Callable[[Cost], bool], said: str) -> float:
        """Return the least ratio after which the model is as small as ``wanted``, which ``said`` words.

        Raises ``PassError`` if it never is.
        """
        low, high = 0.0, self.how.most
        smallest = cost(self.copy(high), self.examples)
        if not wanted(smallest):
            whole = f"; these stay whole: {', '.join(sorted(map(_own, self.left)))}" if self.left else ""
            raise PassError(
                "the model cannot be pruned so far", where="pass 'prune'",
                got=f"{smallest.macs:,} MACs and {smallest.params:,} parameters, at most pruned", expected=said,
                fix=f"ask for less, or a smaller round_to{whole}",
            )  # fmt: skip
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if wanted(cost(self.copy(middle), self.examples)) else (middle, high)
        return high

    def copy(self, ratio: float) -> Flat:
        """Return a copy that is pruned by a ratio; of layers by themselves any importance leaves the same widths."""
        copy = self.model.fresh()
        alike = self.how.scope == "layer" and self.how.needs_gradients
        how = replace(self.how, importance="magnitude") if alike else self.how
        _prune(copy, self.examples, how, ratio, self._spared, None if alike else self._sums)
        return copy

    def by(self, ratio: float) -> Pruned:
        """Prune by a ratio."""
        _prune(self.model, self.examples, self.how, ratio, self._spared, self._sums)
        return Pruned(ratio, {_own(name): why for name, why in self.left.items()})

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return what can be pruned: for each group its first layer, and all that shrink with it, that one among them.

        In the order of the model, named as ``Structure.ratios`` takes them. Raises ``PassError`` if there is none.
        """
        spared, order = self._spared, [name for name, _ in self.model.named_modules()]
        able = sorted((root for root in self._roots if root not in spared), key=order.index)
        return {_own(root): tuple(map(_own, self._roots[root])) for root in able}

    def alone(self, group: str, ratio: float) -> Flat:
        """Return a copy of which one group is pruned by a ratio, not rounded, and nothing else.

        ``group`` is a key of ``groups``.
        """
        copy = self.model.fresh()
        how = replace(self.how, scope="layer", round_to=1, ratios={})
        _prune(copy, self.examples, how, ratio, [name for name in self._roots if _own(name) != group], self._sums)
        return copy

    @cached_property
    def _sums(self) -> GradientSums | None:
        """What gradients say of the model as it is; None where nobody asks them."""
        if self.gradients is None or not self.how.needs_gradients:
            return None
        return GradientSums.of(self.model, self.gradients)

    @cached_property
    def _spared(self) -> list[str]:
        """The first layers of the groups that stay whole; raises ``PassError`` if those are all."""
        roots = list(self._roots)
        for name in self._culprits(roots, roots):
            self.left[name] = _COUNTS_ON_WIDTH
        if all(name in self.left for name in roots):
            why = "; ".join(f"{_own(name)}: {said}" for name, said in list(self.left.items())[:4])
            raise PassError(
                "no layer of the model can be pruned", where="pass 'prune'", got=why or "no Conv, Linear or LSTM",
                fix="let forward() take sizes from its tensors (x.shape[-1]), not from numbers of its own",
            )  # fmt: skip
        return list(self.left)

    @cached_property
    def _roots(self) -> dict[str, tuple[str, ...]]:
        """The first layer of each group, with all layers that shrink; notes those that the recipe keeps."""
        copy, found = self.model.fresh(), {}
        names = {module: name for name, module in copy.named_modules()}
        library = _pruner(copy, self.examples, self.how, 0.5, ())
        for group in library.DG.get_all_groups([], library.root_module_types):
            narrower = [dep.target.module for dep, _ in group if library.DG.is_out_channel_pruning_fn(dep.handler)]
            root, every = names[group[0][0].target.module], [names[part] for part in narrower if part in names]
            if any(matches(_own(name), self.how.keep) for name in every):
                self.left[root] = "the recipe keeps it"
            weighted = [name for name in every if isinstance(copy.get_submodule(name), _ROOTS)]
            found[root] = tuple(dict.fromkeys([root, *weighted]))
        return found

    def _culprits(self, names: Sequence[str], roots: Sequence[str]) -> list[str]:
        """Return those of the groups that break the model, found by halves."""
        able = [name for name in names if name not in self.left]
        if not able or self._holds(able, roots):
            return []
        if len(able) == 1:
            return able
        half = len(able) // 2
        return [*self._culprits(able[:half], roots), *self._culprits(able[half:], roots)]

    def _holds(self, names: Sequence[str], roots: Sequence[str]) -> bool:
        """Whether a copy in which these groups are half as wide still answers in the same shapes."""
        copy, half = self.model.fresh(), Structure(round_to=1)
        try:
            with torch.no_grad():
                before = [tuple(value.shape) for value in copy(*self.examples)]
            _prune(copy, self.examples, half, 0.5, [name for name in roots if name not in names], None)
            with torch.no_grad():
                return [tuple(value.shape) for value in copy(*self.examples)] == before
        except Exception:  # noqa: BLE001 - the model's own code runs on widths that it was not written for
            return False


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


def _prune(
    model: Flat, examples: Sequence[Tensor], how: Structure, ratio: float, spared: Sequence[str],
    sums: GradientSums | None,
) -> None:  # fmt: skip
    torch.manual_seed(how.seed)
    library = _pruner(model, examples, how, ratio, spared)
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


def _pruner(model: Flat, examples: Sequence[Tensor], how: Structure, ratio: float, spared: Sequence[str]) -> Any:
    """Return the library's pruner of a model; the mappings that it fills are its own."""
    parts = dict(model.named_modules())
    ratios = {
        part: share for pattern, share in how.ratios.items() for name, part in parts.items()
        if isinstance(part, _ROOTS) and matches(_own(name), [pattern])
    }  # fmt: skip
    heads = {layer: getattr(part, name) for part, name, layers in heads_of(model) for layer in layers}
    some_heads = {layer: min(ratio, (count - 1) / count - _LESS) for layer, count in heads.items()}
    library = import_torch_pruning()
    with torch.enable_grad():
        pruner = library.pruner.BasePruner(
            model, tuple(examples), importance=_importance(how), pruning_ratio=ratio, pruning_ratio_dict=ratios,
            max_pruning_ratio=how.most, global_pruning=how.scope != "layer", isomorphic=how.scope == "isomorphic",
            round_to=how.round_to, ignored_layers=[parts[name] for name in spared], num_heads=heads,
            prune_num_heads=how.scope == "layer", prune_head_dims=False, head_pruning_ratio_dict=some_heads,
            in_channel_groups={}, out_channel_groups={}, root_module_types=list(_ROOTS),
        )  # fmt: skip
    pruner._round_to = _taken
    return pruner


def _taken(wanted: int, width: int, round_to: int) -> int:
    """Return how many channels to take for a width that is a multiple; the library's own rounding takes all of some."""
    left = max(round_to, (width - wanted) // round_to * round_to)
    return max(0, width - left)


def _importance(how: Structure) -> Any:
    every = import_torch_pruning().importance
    made = {
        "magnitude": every.GroupMagnitudeImportance, "taylor": every.GroupTaylorImportance,
        "hessian": every.GroupHessianImportance, "bn_scale": every.BNScaleImportance, "random": every.RandomImportance,
    }  # fmt: skip
    return made[how.importance]()


def _own(name: str) -> str:
    """Return what the recipe's author calls a layer."""
    return name.removeprefix("model.")
