"""Values that inputs are fixed at: what an input can hold, and how what is fed or written differs from it.

They come from recipes, model files and manifests, so each is held against its input before it is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Fixed = bool | int | float | str | tuple[Any, ...]
"""A value that an input is fixed at: one, which fills it, or such tuples in each other as it has axes."""

_NAMES = {bool: "a bool", int: "a whole number", float: "a number", str: "text"}
_TAKEN: dict[str, tuple[type, ...]] = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float), "U": (str,)}
"""What may be written for an input, by the kind of its NumPy dtype: a float for an integer is no rounding error."""


def frozen(value: Any) -> Fixed:
    """Return what YAML or JSON gives, its lists as tuples; raises ``ValueError`` for a mapping, or for nothing."""
    if isinstance(value, list | tuple):
        return tuple(map(frozen, value))
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"{value!r} is no value of an input: give a number, true or false, text, or a list of these")


def thawed(value: Fixed) -> Any:
    """Return the value with lists for tuples, as JSON has it."""
    return list(map(thawed, value)) if isinstance(value, tuple) else value


def check(value: Fixed, dtype: str, shape: Sequence[int | str]) -> tuple[int, ...]:
    """Return the shape of an input, which a value must fit; raises ``ValueError``, which says what does not fit."""
    sizes = _sizes(value, shape)
    for leaf in _leaves(value):
        _check(leaf, _dtype(dtype))
    return sizes


def as_array(value: Fixed, dtype: str, shape: Sequence[int | str]) -> NDArray[Any]:
    """Return the array that an input must be fed with: of its dtype, and of its shape, which one value fills.

    Raises ``ValueError`` as ``check`` does.
    """
    import numpy as np

    sizes = check(value, dtype, shape)
    array = np.array(list(_leaves(value)), dtype=_dtype(dtype))
    return array.reshape(sizes) if isinstance(value, tuple) else np.full(sizes, array[0])


def difference(fed: NDArray[Any], wanted: NDArray[Any]) -> str | None:
    """Return how an array differs from the one that is wanted, such as in its first other value; None if not at all."""
    import numpy as np

    if fed.dtype.kind == "O" and wanted.dtype.kind == "U":  # as ONNX Runtime takes text, too
        fed = fed.astype(str)
    if fed.dtype != wanted.dtype and not fed.dtype.kind == wanted.dtype.kind == "U":
        return f"{fed.dtype} instead of {wanted.dtype}"
    if fed.shape != wanted.shape:
        return f"shape {list(fed.shape)} instead of {list(wanted.shape)}"
    other = np.argwhere(np.not_equal(fed, wanted))
    if not len(other):
        return None
    place = tuple(other[0].tolist())
    at = f" at {list(place)}" if place else ""
    return f"{fed[place]}{at} instead of {wanted[place]}"


def _dtype(name: str) -> np.dtype[Any]:
    import numpy as np

    return np.dtype(str) if name == "string" else np.dtype(name)


def _sizes(value: Fixed, shape: Sequence[int | str]) -> tuple[int, ...]:
    """Return the input's shape, which a list must have."""
    given, level = [], value
    while isinstance(level, tuple):
        given.append(len(level))
        level = level[0] if level else 0
    known = tuple(size for size in shape if isinstance(size, int))
    if isinstance(value, tuple) and not _is_regular(value, given):
        raise ValueError("the lists in it are not of one length")
    if isinstance(value, tuple) and len(given) != len(shape):
        raise ValueError(f"it has {len(given)} axes, and the input has {len(shape)}")
    if len(known) < len(shape):
        free = next(size for size in shape if isinstance(size, str))
        raise ValueError(f"the size '{free}' is not fixed: fix it in `dims`, too")
    if isinstance(value, tuple) and tuple(given) != known:
        raise ValueError(f"it has the shape {given}, and the input has {list(known)}")
    return known


def _is_regular(value: Fixed, sizes: list[int]) -> bool:
    if not sizes or not isinstance(value, tuple):
        return not sizes and not isinstance(value, tuple)
    return len(value) == sizes[0] and all(_is_regular(each, sizes[1:]) for each in value)


def _leaves(value: Fixed) -> Iterator[bool | int | float | str]:
    if isinstance(value, tuple):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _check(value: bool | int | float | str, dtype: np.dtype[Any]) -> None:
    import numpy as np

    taken = _TAKEN.get(dtype.kind, ())
    if type(value) not in taken:
        raise ValueError(f"it holds {_NAMES[type(value)]} ({value!r}), and the input is {_name(dtype)}")
    if isinstance(value, str) or dtype.kind == "b":
        return
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"it holds {value!r}, and only finite numbers can be fixed")
    if not int(limits.min) <= value <= int(limits.max):
        raise ValueError(f"it holds {value!r}, and {dtype} goes from {limits.min} to {limits.max}")


def _name(dtype: np.dtype[Any]) -> str:
    return "text" if dtype.kind == "U" else dtype.name
