"""Python values in words that tell two of them apart: numbers by a digest, containers by what they hold."""

from __future__ import annotations

import enum
import hashlib
import types
from collections.abc import Mapping, Set
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, Any]
_DEEP, _MANY = 6, 1000


def described(value: Any, depth: int = _DEEP, inside: Set[int] = frozenset()) -> str:
    """Return a text that is equal, in any process, for values that are; of what has no values, its type."""
    import torch

    if isinstance(value, torch.Tensor | np.ndarray):
        return _array(value)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | enum.Enum | torch.dtype):
        return repr(value)
    return type_name(value) if depth == 0 or id(value) in inside else _container(value, depth, inside)


def _container(value: Any, depth: int, inside: Set[int]) -> str:  # noqa: PLR0911 - one for each kind
    import torch

    deeper: dict[str, Any] = {"depth": depth - 1, "inside": inside | {id(value)}}
    if isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType | type):
        cells = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
        return f"{value.__module__}.{value.__qualname__}{described(cells, **deeper) if cells else ''}"
    if isinstance(value, partial):
        return f"partial {described([value.func, value.args, value.keywords], **deeper)}"
    if isinstance(value, Mapping):
        pairs = [f"{described(k, **deeper)}: {described(v, **deeper)}" for k, v in list(value.items())[:_MANY]]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(described(item, **deeper) for item in value[:_MANY]) + "]"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(described(item, **deeper) for item in value)) + "}"
    if isinstance(value, torch.nn.Module):
        held = {**dict(value.named_parameters()), **dict(value.named_buffers())}
        return f"module {type_name(value)} {described(held, **deeper)}"
    return f"{type_name(value)} {described(vars(value), **deeper)}" if hasattr(value, "__dict__") else type_name(value)


def _array(value: torch.Tensor | Array) -> str:
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {list(value.shape)} #{_digest(value)}"
    kind = str(value.dtype).removeprefix("torch.")
    if value.is_meta or value.is_quantized or value.is_nested or str(value.layout) != "torch.strided":
        return f"tensor {kind} {list(value.shape)}"
    import torch

    whole = value.detach().cpu().reshape(-1)
    first = ", ".join(f"{x:.4g}" if isinstance(x, float) else str(x) for x in whole[:3].tolist())
    more = ", ..." if whole.numel() > 3 else ""
    return f"tensor {kind} {list(value.shape)} ({first}{more}) #{_digest(whole.contiguous().view(torch.uint8).numpy())}"


def _digest(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:12]


def type_name(value: object) -> str:
    """Return the full name of a value's class."""
    return f"{type(value).__module__}.{type(value).__qualname__}"
