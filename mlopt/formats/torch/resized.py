"""Layers that are narrower, or fewer channels wide, than ``build()`` makes them: told as data, and made so again.

A pruned model is kept as the function that builds it, these sizes, and its weights: no pickle, and no library that
pruned it. What a layer's size shows in is the shapes of its own tensors, and the whole numbers that it keeps about them
(``out_channels``, ``groups``, ``num_heads``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Sizes = Mapping[str, Mapping[str, Any]]
"""By the name of the layer: ``numbers``, its attributes, and ``shapes``, those of its own tensors."""


def sizes(module: torch.nn.Module) -> dict[str, dict[str, Any]]:
    """Return the sizes of all layers."""
    return {name: {"numbers": _numbers(part), "shapes": _shapes(part)} for name, part in module.named_modules()}


def changed(before: Sizes, after: Sizes) -> dict[str, dict[str, Any]]:
    """Return what of ``after``, the same layers, is not as ``before``."""
    found = {}
    for name, own in after.items():
        differing = {
            kind: {key: value for key, value in own[kind].items() if before[name][kind].get(key) != value}
            for kind in ("numbers", "shapes")
        }
        if any(differing.values()):
            found[name] = {kind: values for kind, values in differing.items() if values}
    return found


def _numbers(part: torch.nn.Module) -> dict[str, Any]:
    return {key: value for key, value in vars(part).items() if not key.startswith("_") and _is_size(value)}


def _is_size(value: Any) -> bool:
    """Whether it is a whole number, or a tuple of them, as sizes are kept."""
    if isinstance(value, tuple | list):
        return bool(value) and all(map(_is_size, value))
    return isinstance(value, int) and not isinstance(value, bool)


def _shapes(part: torch.nn.Module) -> dict[str, list[int]]:
    own = {**dict(part.named_parameters(recurse=False)), **dict(part.named_buffers(recurse=False))}
    return {name: list(tensor.shape) for name, tensor in own.items()}
