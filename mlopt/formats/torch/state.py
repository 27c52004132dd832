"""A module's state dict in a file of its own, and back: what ``torch_source`` keeps of a module that was built.

Each tensor is written as a copy: the file knows neither that a window is a part of something longer nor that a bias is
one number seen many times. Tensors that are one and the same are written once, and are one again afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import ModelError

if TYPE_CHECKING:
    import torch

_TIED = "tied"
_FLOAT = "build the model in float32: mlopt quantizes it, `passes: [export, simplify, quantize, fuse]`"
_SAVABLE = "tensors of float, integer, bool or complex64, in memory"


def save_state(module: torch.nn.Module, path: Path, where: str) -> None:
    """Write the tensors of the state dict; what is no tensor (``get_extra_state``) is left out.

    Raises ``ModelError`` for a tensor that has no values to write, or that no file of tensors holds.
    """
    import torch
    from safetensors.torch import save_file

    written: dict[str, torch.Tensor] = {}
    tied: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, value in _state(module, where).items():
        if not isinstance(value, torch.Tensor) and name.endswith("_extra_state"):
            continue
        _check(name, value, where)
        same = _identity(value)
        if same in first:
            tied[name] = first[same]
        else:
            first[same] = name
            written[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    save_file(written, path, metadata={_TIED: json.dumps(tied)})


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file of safetensors by name, those that are tied under each of their names."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping, but a file
        tied = (file.metadata() or {}).get(_TIED, "{}")
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
    given = {_identity(own[name]) for name in state if isinstance(own.get(name), torch.Tensor)}
    lacking = [name for name in missing if not name.endswith("_extra_state")]
    return [name for name in lacking if name not in own or _identity(own[name]) not in given], list(unexpected)


def check_sized(module: torch.nn.Module, where: str) -> None:
    """Raise ``ModelError`` for layers that have no size yet."""
    import torch

    for name, part in module.named_modules():
        if isinstance(part, torch.nn.modules.lazy.LazyModuleMixin):
            raise ModelError(
                "the module has a lazy layer, which has no weights before it has seen an input", where=where,
                got=f"{type(part).__name__} '{name}'", expected="layers of known sizes",
                fix="call the model once at the end of build(), `model(torch.zeros(1, 3, 224, 224))`, or give the size",
            )  # fmt: skip


def check_present(module: torch.nn.Module, where: str) -> None:
    """Raise ``ModelError`` for tensors on the device "meta", which have no values."""
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta:
            raise ModelError(
                "the module has a tensor without values: it is on the device 'meta'", where=where, got=name,
                expected="tensors in memory",
                fix="build it without `torch.device('meta')` and `init_empty_weights()`, or give model.weights",
            )  # fmt: skip


def _state(module: torch.nn.Module, where: str) -> Mapping[str, Any]:
    try:
        state: Mapping[str, Any] = module.state_dict()
    except Exception as error:
        got = f"{type(error).__name__}: {error}"[:300]
        raise ModelError("the model has no state dict", where=where, got=got, fix="mend its state_dict()") from error
    return state


def _check(name: str, value: Any, where: str) -> None:
    import torch

    if not isinstance(value, torch.Tensor):
        raise ModelError(
            "the state dict holds something that is no tensor, such as the packed weights of a quantized model",
            where=where, got=f"{name}: {type(value).__name__}", expected=_SAVABLE, fix=_FLOAT,
        )  # fmt: skip
    kinds: Iterable[tuple[bool, str, str]] = (
        (value.is_quantized, "quantized", _FLOAT),
        (value.is_nested, "nested", "keep it as a padded tensor"),
        (value.layout is not torch.strided, "sparse", "make it dense: `.to_dense()`"),
        (value.dtype is torch.complex128, "complex128", "make it complex64, or keep torch.view_as_real() of it"),
    )
    for found, kind, fix in kinds:
        if found:
            raise ModelError(
                f"a tensor of the state dict is {kind}, and cannot be saved", where=where, got=name,
                expected=_SAVABLE, fix=fix,
            )  # fmt: skip


def _identity(value: torch.Tensor) -> tuple[Any, ...]:
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
