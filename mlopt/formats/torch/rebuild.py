"""A module made again: its layers of the sizes that they had, its weights loaded. The text of this file leaves mlopt.

``mlopt export-torch`` puts it beside a model, so it needs PyTorch and safetensors, and nothing of mlopt.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

TIED = "tied"
"""Where a file of weights says which names are one tensor."""
_WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module",
             "AveragedModel": "module"}  # fmt: skip
"""PyTorch's modules that only hold another one, and their name for it."""


def rebuilt(factory: Callable[[], torch.nn.Module], source: Path, weights: Path) -> torch.nn.Module:
    """Return what ``factory`` makes with the sizes that ``source`` states and these weights, in evaluation.

    Random numbers begin anew, as they did in mlopt: a module may draw some that are not among its weights. Raises
    ``LookupError`` or ``RuntimeError`` if the factory makes another module than it did.
    """
    import torch

    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    torch.manual_seed(0)
    module = unwrapped(factory())
    resize(module, json.loads(source.read_text(encoding="utf-8")).get("sizes", {}))
    missing, unexpected = load_state(module, read_state(weights))
    if missing or unexpected:
        raise RuntimeError(f"{weights} does not fit the module: missing {missing}, unexpected {unexpected}")
    return module.eval()


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """Return the module inside ``torch.compile``, ``DataParallel`` and their like, which answers the same."""
    while type(module).__name__ in _WRAPPERS and type(module).__module__.startswith("torch."):
        module = getattr(module, _WRAPPERS[type(module).__name__])
    return module


def resize(module: torch.nn.Module, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    """Give layers, by name, other sizes; their tensors then hold no values, and share memory where they did.

    Raises ``LookupError`` with the name if the module has no such layer.
    """
    import torch

    parts = dict(module.named_modules())
    made: dict[int, torch.Tensor] = {}
    for name, own in wanted.items():
        part = parts.get(name)
        if part is None:
            raise LookupError(name)
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


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file of safetensors by name, those that are tied under each of their names."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping, but a file
        tied = (file.metadata() or {}).get(TIED, "{}")
    return state | {name: state[kept] for name, kept in json.loads(tied).items()}


def load_state(module: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> tuple[list[str], list[str]]:
    """Load tensors into the module; return the names that it lacks and those that it does not know.

    Raises ``RuntimeError`` for other shapes. A tensor may come under any one of the names that the module has for it;
    what is no tensor keeps the value that it has.
    """
    import torch

    for part in module.modules():
        for tensor in (*part._parameters.values(), *part._buffers.values()):
            if tensor is not None and _overlaps(tensor):  # nothing can be written into it
                tensor.data = tensor.data.contiguous()
    empty = any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers()))
    missing, unexpected = module.load_state_dict(state, strict=False, assign=empty)
    own = module.state_dict()
    given = {identity(own[name]) for name in state if isinstance(own.get(name), torch.Tensor)}
    lacking = [name for name in missing if not name.endswith("_extra_state")]
    return [name for name in lacking if name not in own or identity(own[name]) not in given], list(unexpected)


def identity(value: torch.Tensor) -> tuple[Any, ...]:
    """Return what two names of one tensor have in common; an empty tensor is like no other."""
    if not value.numel() or value.is_meta or not _has_memory(value):
        return (id(value),)
    return value.data_ptr(), tuple(value.shape), value.stride(), value.dtype


def _has_memory(value: torch.Tensor) -> bool:
    import torch

    return value.layout is torch.strided and not value.is_nested


def _overlaps(value: torch.Tensor) -> bool:
    """Whether elements share their memory, as those of an expanded tensor do."""
    import torch

    return _has_memory(value) and not value.is_meta and bool(torch._debug_has_internal_overlap(value))
