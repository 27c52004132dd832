"""What Python reads out of tensors while a model is traced: sizes, or values that depend on the input.

A tracer keeps whatever Python read as a constant. Its own warnings do not tell ``if mask.any()`` from ``if
mask.shape[1] > cached``, since sizes are tensors to it, too. The first is wrong for another input in silence; the
second can be held against the module at other sizes. So each tensor that is read is followed back through what was
traced so far, to the values of an input or not.

This module imports torch: import it inside functions only.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_READS = {
    "__bool__": "a Python boolean", "__contains__": "a Python boolean", "equal": "a Python boolean",
    "allclose": "a Python boolean", "is_nonzero": "a Python boolean", "__int__": "a Python integer",
    "__index__": "a Python index", "__float__": "a Python float", "__complex__": "a Python number",
    "item": "a Python number", "tolist": "a Python list", "numpy": "a NumPy array", "__array__": "a NumPy array",
    "__dlpack__": "a NumPy array",
    "unbind": "the turns of a loop",
    "tensor": "a constant", "as_tensor": "a constant", "data": "a constant: write .detach() instead of .data",
}  # fmt: skip
_LOOK_AT_SIZES = {
    f"aten::{name}"
    for name in (
        "size", "sym_size", "numel", "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like",
        "randint_like", "new_zeros", "new_ones", "new_full", "new_empty",
    )
}  # fmt: skip
_SIZE_FROM_VALUES = {
    f"aten::{name}"
    for name in (
        "nonzero", "nonzero_numpy", "argwhere", "masked_select", "index", "unique", "unique_dim", "_unique", "_unique2",
        "unique_consecutive", "repeat_interleave", "bincount", "one_hot",
    )
}  # fmt: skip
_AUGMENTED = {"__iadd__", "__isub__", "__imul__", "__itruediv__", "__iand__", "__ior__", "__ixor__", "__setitem__"}
_TORCH = Path(torch.__file__).parent
_LIBRARIES = (_TORCH, Path(np.__file__).parent)
_DISPATCHER = inspect.getfile(TorchFunctionMode)


@dataclass(frozen=True)
class Read:
    """Python read a tensor: what it became, in which line, and whether it depends on the values of an input."""

    into: str
    line: str
    of_values: bool

    @property
    def code(self) -> str:
        """The text of the line."""
        file, _, number = self.line.rpartition(":")
        return linecache.getline(file, int(number))


@contextmanager
def watched(module: torch.nn.Module) -> Iterator[list[Read]]:
    """Give the list that traced calls of ``module`` in this block add their reads to; those of torch are left out."""
    reads: list[Read] = []
    forward = module.forward

    @functools.wraps(forward)
    def watching(*tensors: torch.Tensor) -> Any:
        inputs = {torch._C._get_value_trace(tensor).unique() for tensor in tensors}
        with _Reads(inputs, reads):
            return forward(*tensors)

    module.forward = watching
    try:
        yield reads
    finally:
        del module.forward


class _Reads(TorchFunctionMode):  # type: ignore[misc]  # torch is not followed by mypy here
    """Notes each read of a tensor by code that is not torch's own."""

    def __init__(self, inputs: set[int], reads: list[Read]) -> None:
        super().__init__()
        self._inputs, self._reads = inputs, reads
        self._written: dict[int, list[Any]] = {}
        """What was written into a traced value, or into a view of it: there the trace does not lead to."""

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = "data" if func == torch.Tensor.data.__get__ else getattr(func, "__name__", "")
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if name in _READS and tensors:
            self._note(name, tensors)
        elif name in _AUGMENTED or (name.endswith("_") and not name.startswith("__")):
            self._write(tensors)
        return func(*args, **(kwargs or {}))

    def _note(self, name: str, tensors: list[torch.Tensor]) -> None:
        callers = [frame for frame in _callers(sys._getframe(2)) if not _hands_on(frame, name)]
        if not _within(callers[0], (_TORCH,)):
            frame = next(frame for frame in callers if not _within(frame, _LIBRARIES))
            of_values = any(self._depends(tensor, only_size=name == "unbind") for tensor in tensors)
            self._reads.append(Read(_READS[name], f"{frame.f_code.co_filename}:{frame.f_lineno}", of_values))

    def _write(self, tensors: list[torch.Tensor]) -> None:
        """Note that the first tensor is overwritten, whole or in part, with what the others have."""
        traced = [torch._C._get_value_trace(tensor) for tensor in tensors if not _is_parameter(tensor)]
        target = traced[0] if traced else None
        while target is not None:
            self._written.setdefault(target.unique(), []).extend(traced[1:])
            target = next((value for value in target.node().inputs() if _has_size(value)), None)

    def _depends(self, tensor: torch.Tensor, *, only_size: bool) -> bool:
        """Whether the tensor's values (or, with ``only_size``, its size) depend on those of an input, not on sizes."""
        if _is_parameter(tensor):
            return False
        waiting, seen = [(torch._C._get_value_trace(tensor), only_size)], set[tuple[int, bool]]()
        while waiting:
            value, only_size = waiting.pop()
            if (value.unique(), only_size) in seen:
                continue
            seen.add((value.unique(), only_size))
            node, kind = value.node(), value.node().kind()
            if not only_size:
                waiting += ((source, False) for source in self._written.get(value.unique(), ()))
            if kind == "prim::Param":
                if not only_size and value.unique() in self._inputs:
                    return True
            elif next(iter(node.blocks()), None) is not None or (only_size and kind in _SIZE_FROM_VALUES):
                return True  # what a block takes from outside is not among its node's inputs
            else:
                only_size = only_size or kind in _LOOK_AT_SIZES
                waiting += ((given, only_size and _has_size(given)) for given in node.inputs())
        return False


def _is_parameter(tensor: torch.Tensor) -> bool:
    """Whether it needs no look at the trace, which would not take one that the module does not own."""
    return bool(tensor.is_leaf and tensor.requires_grad)


def _has_size(value: Any) -> bool:
    """Whether it is or holds a tensor, and no number: numbers decide the size of what is made with them."""
    return "Tensor" in value.type().annotation_str


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _hands_on(frame: FrameType, name: str) -> bool:
    """Whether it is only torch's way from the caller of ``Tensor.name`` to the mode."""
    names = {name, "__iter__"} if name == "unbind" else {name}
    return frame.f_code.co_filename == _DISPATCHER or (frame.f_code.co_name in names and _within(frame, (_TORCH,)))


def _within(frame: FrameType, folders: tuple[Path, ...]) -> bool:
    return any(Path(frame.f_code.co_filename).is_relative_to(folder) for folder in folders)
