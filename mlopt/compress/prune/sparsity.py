"""Single weights out of a module, none of whose shapes change: for the size of a file, or kernels for sparse weights.

A dense runtime multiplies by zeros as fast as by anything else. This module imports torch: import it inside functions
only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from mlopt.compress.prune.settings import matches

_GROUP, _KEPT = 4, 2


def sparsify(model: nn.Module, share: float, keep: Sequence[str]) -> dict[str, Tensor]:
    """Set the smallest weights of all layers together to 0, a share of them; return the masks (see ``masked``)."""
    layers = dict(weighted(model, keep))
    torch_prune.global_unstructured(
        [(layer, "weight") for layer in layers.values()], pruning_method=torch_prune.L1Unstructured, amount=share
    )
    masks = {name: layer.weight_mask.clone() for name, layer in layers.items()}
    for layer in layers.values():
        torch_prune.remove(layer, "weight")
    return masks


def two_of_four(model: nn.Module, keep: Sequence[str]) -> dict[str, Tensor]:
    """Set the two smallest of every four weights along the input channels to 0; return the masks.

    That is the pattern of sparse tensor cores. A layer whose input channels are no multiple of four stays as it is, and
    so does a transposed convolution: no kernel takes it.
    """
    masks = {}
    for name, layer in weighted(model, keep):
        if isinstance(layer, nn.modules.conv._ConvTransposeNd):
            continue
        moved = layer.weight.detach().movedim(1, -1)
        if moved.shape[-1] % _GROUP:
            continue
        groups = moved.reshape(-1, _GROUP)
        order = groups.abs().argsort(dim=-1, descending=True, stable=True)
        mask = torch.zeros_like(groups).scatter_(-1, order[:, :_KEPT], 1.0)
        masks[name] = mask.reshape(moved.shape).movedim(-1, 1)
    apply(model, masks)
    return masks


@torch.no_grad()  # type: ignore[untyped-decorator]
def apply(model: nn.Module, masks: dict[str, Tensor]) -> None:
    """Set to 0 what the masks do: after each step of a training, which would fill it again."""
    for name, layer in model.named_modules():
        if name in masks:
            layer.weight.mul_(masks[name].to(layer.weight))


def weighted(model: nn.Module, keep: Sequence[str]) -> Iterator[tuple[str, nn.Module]]:
    """Yield the convolutions and linear layers, with their names, but for those that ``keep`` names."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear) and not matches(name, keep):
            yield name, layer


def zeros(model: nn.Module) -> float:
    """Return the share of weights of convolutions and linear layers that are 0."""
    every = [layer.weight for _, layer in weighted(model, ())]
    count, whole = sum(int((weight == 0).sum()) for weight in every), sum(int(weight.numel()) for weight in every)
    return count / max(1, whole)
