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
from mlopt.formats.torch.rebuild import TIED, identity

if TYPE_CHECKING:
    import torch

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
        same = identity(value)
        if same in first:
            tied[name] = first[same]
        else:
            first[same] = name
            written[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    save_file(written, path, metadata={TIED: json.dumps(tied)})


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
