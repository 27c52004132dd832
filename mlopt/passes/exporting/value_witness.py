"""Inputs with shorter sequences and other ids, for models whose sizes or branches depend on the values of an input.

Where all samples are of full length, a graph that forgot to cut to the longest one agrees with the module on all of
them. So models that take a size from values are also run on what no sample may show.

This module imports torch: import it inside functions only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from mlopt.runtimes.base import Array

if TYPE_CHECKING:
    from mlopt.formats.torch.module import Flat

PACKED = "_pad_packed_sequence"


def sizes_from_values(module: Flat, feeds: Sequence[Array]) -> set[str]:
    """Return the operators that decide on a size, or on what Python does, by the values that they get."""
    found: set[str] = set()

    class Operators(TorchDispatchMode):  # type: ignore[misc]  # torch is not followed by mypy here
        def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func.overloadpacket.__name__
            by_values = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output} & set(func.tags)
            if by_values and (name != "index" or _is_masked(args)):
                found.add(name)
            return func(*args, **(kwargs or {}))

    class Functions(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(func, "__name__", "") == PACKED:
                found.add(PACKED)
            return func(*args, **(kwargs or {}))

    with contextlib.suppress(Exception), torch.no_grad(), Functions(), Operators():  # what it raises is not asked here
        module.fresh()(*(torch.from_numpy(np.array(feed)) for feed in feeds))
    return found


def _is_masked(args: Sequence[Any]) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])


def shorter(feeds: Sequence[Array]) -> Iterator[list[Array]]:
    """Yield the inputs with numbers that count something made smaller, then with the ends of rows 0, then with 1.

    Counts keep their order, and nothing leaves the range that it was in, but for 0 and 1, which padding and masks are.
    """
    yield [_halved(feed) for feed in feeds]
    yield [_ended(feed, 0) for feed in feeds]
    yield [_ended(feed, 1) for feed in feeds]


def _halved(feed: Array) -> Array:
    """Halve integers above 1, and lengths that are parts of the longest: floats, one of each sample."""
    if feed.dtype.kind in "iu":
        return np.where(feed > 1, (feed + 1) // 2, feed).astype(feed.dtype)
    return feed / 2 if feed.dtype.kind == "f" and feed.ndim == 1 else feed


def _ended(feed: Array, value: int) -> Array:
    """Set the second half of each row, along the second axis, to ``value``; of numbers of floats only to 0."""
    if feed.ndim < 2 or (value and feed.dtype.kind == "f"):
        return feed
    ended = feed.copy()
    ended[:, (feed.shape[1] + 1) // 2 :] = value
    return ended
