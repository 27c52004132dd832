"""Channels and heads out of a module, by Torch-Pruning, which knows the layers that have to shrink together.

What it cannot see, it may break: a size that ``forward()`` has written down, an output that loses its columns. So each
group of layers is tried on a copy first, and left whole if the copy no longer answers in the same shapes. This module
imports torch: import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mlopt.compress.prune.gradients import Gradients, GradientSums
from mlopt.compress.prune.library import ROOTS, library_pruner, own_name, prune
from mlopt.compress.prune.settings import Structure, matches
from mlopt.core.errors import PassError
from mlopt.formats.torch.module import Flat

_HALVINGS = 10
_FULL = 0.98
"""A model that uses so much of what it may use gets nothing back any more."""
_WIDTHS = ("out_channels", "out_features", "hidden_size")
_COUNTS_ON_WIDTH = "it changes the shape of an output, or forward() counts on its width"


@dataclass(frozen=True)
class Cost:
    """How much work a model is, for the samples that it was counted on."""

    macs: int
    """Multiplications with addition, of matrix products and convolutions."""
    params: int


@dataclass(frozen=True)
class Amount:
    """How much is to go."""

    ratio: float
    """The share of channels to take from each layer without a ratio of its own."""
    less: Mapping[str, float] = field(default_factory=dict)
    """Groups of layers that lose less than that, by the name of their first layer: the share."""


@dataclass(frozen=True)
class Pruned:
    """What became of the layers."""

    amount: Amount
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

    def least(self, used: Callable[[Cost], float], said: str) -> Amount:
        """Return the least that has to go until the model uses at most 1 of what it may use, which ``said`` words.

        One ratio for all takes a whole step of ``round_to`` from several layers at once; so those get it back, one
        after another, as long as the model still is small enough. Raises ``PassError`` if it never is.
        """
        low, high = 0.0, self.how.most
        smallest = cost(self.copy(high), self.examples)
        if used(smallest) > 1:
            whole = f"; these stay whole: {', '.join(sorted(map(own_name, self.left)))}" if self.left else ""
            raise PassError(
                "the model cannot be pruned so far", where="pass 'prune'",
                got=f"{smallest.macs:,} MACs and {smallest.params:,} parameters, at most pruned", expected=said,
                fix=f"ask for less, or a smaller round_to{whole}",
            )  # fmt: skip
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if used(cost(self.copy(middle), self.examples)) <= 1 else (middle, high)
        return Amount(high, self._given_back(low, high, used) if self.how.scope == "layer" else {})

    def copy(self, ratio: float, less: Mapping[str, float] | None = None) -> Flat:
        """Return a copy that is pruned so far; of layers by themselves any importance leaves the same widths."""
        copy = self.model.fresh()
        alike = self.how.scope == "layer" and self.how.needs_gradients
        how = replace(self.how, importance="magnitude") if alike else self.how
        prune(copy, self.examples, how, self._ratios(ratio, less), self._spared, None if alike else self._sums)
        return copy

    def by(self, ratio: float, less: Mapping[str, float] | None = None) -> Pruned:
        """Prune by a ratio, and those groups by less; see ``Amount``."""
        prune(self.model, self.examples, self.how, self._ratios(ratio, less), self._spared, self._sums)
        return Pruned(Amount(ratio, less or {}), {own_name(name): why for name, why in self.left.items()})

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return what can be pruned: for each group its first layer, and all that shrink with it, that one among them.

        In the order of the model, named as ``Structure.ratios`` takes them. Raises ``PassError`` if there is none.
        """
        spared, order = self._spared, [name for name, _ in self.model.named_modules()]
        able = sorted((root for root in self._roots if root not in spared), key=order.index)
        return {own_name(root): tuple(map(own_name, self._roots[root])) for root in able}

    def alone(self, group: str, ratio: float) -> Flat:
        """Return a copy of which one group is pruned by a ratio, not rounded, and nothing else.

        ``group`` is a key of ``groups``.
        """
        copy = self.model.fresh()
        how = replace(self.how, scope="layer", round_to=1)
        others = [name for name in self._roots if own_name(name) != group]
        prune(copy, self.examples, how, {name: ratio for name in self._roots if name not in others}, others, self._sums)
        return copy

    def _given_back(self, low: float, high: float, used: Callable[[Cost], float]) -> dict[str, float]:
        """Return which groups need to lose no more than ``low``, when all others lose ``high``.

        Those that are left the smallest share of their width come first. They are tried all at once, then by halves.
        """
        widths = [_widths(model, self.groups()) for model in (self.model, self.copy(low), self.copy(high))]
        steps = [name for name in widths[0] if widths[1][name] > widths[2][name]]
        less: dict[str, float] = {}
        waiting = [sorted(steps, key=lambda name: widths[2][name] / widths[0][name])]
        while waiting:
            names = waiting.pop()
            tried = less | dict.fromkeys(names, low)
            share = used(cost(self.copy(high, tried), self.examples))
            if share <= 1:
                less = tried
            elif (half := len(names) // 2) > 0:
                waiting += [names[half:], names[:half]]
            if _FULL <= share <= 1:
                break
        return less

    def _ratios(self, ratio: float, less: Mapping[str, float] | None) -> dict[str, float]:
        """Return the share that each group loses, by the name of its first layer; of others ``""`` tells.

        A ratio of the recipe is heard that names any layer of the group; the first of them counts.
        """
        found = {"": ratio}
        for root, layers in self._roots.items():
            said = (
                share
                for pattern, share in self.how.ratios.items()
                if any(matches(own_name(e), [pattern]) for e in layers)
            )
            own = next(said, ratio if self.how.scope == "layer" else None)
            if (share := (less or {}).get(own_name(root), own)) is not None:
                found[root] = share
        return found

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
            why = "; ".join(f"{own_name(name)}: {said}" for name, said in list(self.left.items())[:4])
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
        library = library_pruner(copy, self.examples, self.how, {}, ())
        for group in library.DG.get_all_groups([], library.root_module_types):
            narrower = [dep.target.module for dep, _ in group if library.DG.is_out_channel_pruning_fn(dep.handler)]
            root, every = names[group[0][0].target.module], [names[part] for part in narrower if part in names]
            if any(matches(own_name(name), self.how.keep) for name in every):
                self.left[root] = "the recipe keeps it"
            weighted = [name for name in every if isinstance(copy.get_submodule(name), ROOTS)]
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
            others = [name for name in roots if name not in names]
            prune(copy, self.examples, half, dict.fromkeys(names, 0.5), others, None)
            with torch.no_grad():
                return [tuple(value.shape) for value in copy(*self.examples)] == before
        except Exception:  # noqa: BLE001 - the model's own code runs on widths that it was not written for
            return False


def _widths(model: nn.Module, names: Iterable[str]) -> dict[str, int]:
    """Return how many channels or features come out of layers."""
    layers = {own_name(name): part for name, part in model.named_modules()}
    return {name: _width(layers[name]) for name in names}


def _width(layer: nn.Module) -> int:
    found: int = next(getattr(layer, name) for name in _WIDTHS if hasattr(layer, name))
    return found
