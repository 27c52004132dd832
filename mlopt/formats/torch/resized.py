"""Layers that are narrower, or fewer channels wide, than ``build()`` makes them: told as data, and made so again.

A pruned model is kept as the function that builds it, these sizes, and its weights: no pickle, and no library that
pruned it. What a layer's size shows in is the shapes of its own tensors, and the whole numbers that it keeps about them
(``out_channels``, ``groups``, ``num_heads``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import ModelError

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


def resize(module: torch.nn.Module, wanted: Sizes, where: str) -> None:
    """Give layers other sizes; their tensors then hold no values, and share memory where they did.

    Raises ``ModelError`` if the module has no such layer.
    """
    import torch

    parts = dict(module.named_modules())
    made: dict[int, torch.Tensor] = {}
    for name, own in wanted.items():
        part = parts.get(name)
        if part is None:
            raise ModelError("the module has no such layer any more", where=where, got=name,
                             expected="the layers that were resized", fix="run the passes again")  # fmt: skip
        for key, value in own.get("numbers", {}).items():
            setattr(part, key, tuple(value) if isinstance(value, list) else value)
        for key, shape in own.get("shapes", {}).items():
            old = getattr(part, key)
            new = made.get(id(old))
            if new is None or list(new.shape) != list(shape):
                new = torch.empty(shape, dtype=old.dtype, device=old.device)
                if isinstance(old, torch.nn.Parameter):
                    new = torch.nn.Parameter(new, requires_grad=old.requires_grad)
                made[id(old)] = new
            setattr(part, key, new)


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
