"""Sizes for the free dimensions of a model's inputs, the likely ones first.

A graph says which of its sizes are free and which are the same (they have one name), but not which ones it takes: a
multiple of 32, a total that is the sum of two others, one step beside a past of many.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlopt.formats.model import TensorSpec

SIZE = 16
"""Of a free size, such as a picture's or a text's, where the model takes it."""
_LARGER, _SMALLER = (32, 64, 128, 224, 256, 512), (8, 1)
_MOST, _VALUES = 60, 1 << 20
"""So many attempts at most, and so many values in a sample of any but the first."""
_LONGEST, _LARGEST = 256, 1 << 31
"""A longer name is no arithmetic, and what arithmetic gives is no larger: names are a stranger's."""
_BATCH = re.compile(r"^[bn]$|batch|(^|_)bs(_|$)", re.IGNORECASE)
_PAST, _TOTAL = re.compile("past|cache", re.IGNORECASE), re.compile("total", re.IGNORECASE)


def _parts(size: int, by: int) -> int:
    return size // max(by, 1)


_ARITHMETIC: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: _parts, ast.Div: _parts,
}  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """Sizes by the name of the dimension; whether each sample is a whole input, or one row of a batch."""

    sizes: Mapping[str, int]
    whole: bool
    other_values: bool = False
    """Not the usual values: nothing masked, no id 0, no number below 0."""


def attempts(specs: Sequence[TensorSpec]) -> Iterator[Attempt]:
    """Yield different attempts, the likeliest first."""
    seen: list[Attempt] = []
    modes = (True,) if not _can_batch(specs) else (True, False) if _batch_is_inside(specs) else (False, True)
    if modes == (False, True) and len(specs) == 1:
        modes = (False,)  # a whole input is then a batch of one
    for whole in modes:
        for sizes in _sizes(specs, whole):
            attempt = Attempt(sizes, whole)
            if attempt in seen or len(seen) == _MOST or (seen and _values_of(attempt, specs) > _VALUES):
                continue
            seen.append(attempt)
            yield attempt


def _values_of(attempt: Attempt, specs: Sequence[TensorSpec]) -> int:
    """Return how many values a sample has."""
    return sum(
        math.prod(size_of(size, attempt.sizes) for size in spec.shape[0 if attempt.whole else 1 :]) for spec in specs
    )


def size_of(size: int | str, known: Mapping[str, int]) -> int:
    """Return what a dimension is, when its names are these sizes."""
    if isinstance(size, int):
        return size
    return known[size] if size in known else _evaluated(_parsed(size), known)


def fixed_size(size: int | str, known: Mapping[str, int]) -> int | str:
    """Return what a dimension is once these are fixed: the same name if that, or a part of its sum, is not known."""
    if isinstance(size, int) or size in known:
        return size if isinstance(size, int) else known[size]
    tree, parts = _parsed(size), parts_of(size)
    if tree is None or not parts or not known.keys() >= set(parts):
        return size
    total = _exactly(tree, known)
    return size if total is None or total < 1 else total


def parts_of(name: str) -> tuple[str, ...]:
    """Return the names in a dimension's arithmetic, such as ``past + length``; none if it is no arithmetic."""
    tree = _parsed(name)
    return tuple(dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))) if tree else ()


def _exactly(tree: Any, known: Mapping[str, int]) -> int | None:
    """Evaluate; None where a quotient would have to be rounded."""
    if not isinstance(tree, ast.BinOp):
        return known[tree.id] if isinstance(tree, ast.Name) else int(tree.value)
    left, right = _exactly(tree.left, known), _exactly(tree.right, known)
    if left is None or right is None or (isinstance(tree.op, ast.FloorDiv | ast.Div) and right < 1):
        return None
    if isinstance(tree.op, ast.Div) and left % right:
        return None
    return _ARITHMETIC[type(tree.op)](left, right)


def _sizes(specs: Sequence[TensorSpec], whole: bool) -> Iterator[dict[str, int]]:
    """Yield sizes of all free dimensions (in a batch, its own apart)."""
    names = _names(specs, whole)
    of_batch = _batch_names(specs, names) if whole else set()
    base = dict.fromkeys(names, SIZE) | dict.fromkeys(of_batch, 1)
    free = [name for name in names if name not in of_batch]
    groups = _groups(specs, names, whole)
    yield from _with_totals(base, free)
    yield from _with_totals(dict.fromkeys(names, SIZE), names)  # what looked like a batch may be none
    for size in _LARGER:
        yield from _with_totals(base | dict.fromkeys(free, size), free)
    for size in (1, 2 * SIZE, SIZE // 2):
        for group in groups:
            yield from _with_totals(base | dict.fromkeys(group, size), free)
    for size in _SMALLER:
        yield from _with_totals(base | dict.fromkeys(free, size), free)
    for name in free if len(free) > 1 else ():
        yield base | {name: sum(base[other] for other in free if other != name)}


def _names(specs: Sequence[TensorSpec], whole: bool) -> list[str]:
    """Return the free dimensions, without those that are sums or products of others."""
    axes = [str(spec.shape[axis]) for spec in specs for axis in spec.dynamic_axes if whole or axis]
    return list(dict.fromkeys(atom for name in axes for atom in _atoms(name, specs)))


def _with_totals(sizes: dict[str, int], free: Sequence[str]) -> Iterator[dict[str, int]]:
    """Yield the sizes with every total as a sum, as they are, and with nothing in a cache."""
    totals = [name for name in free if _TOTAL.search(name)]
    past = [name for name in free if _PAST.search(name) and name not in totals]
    rest = [name for name in free if name not in totals]
    if totals and rest:
        yield sizes | dict.fromkeys(totals, sum(sizes[name] for name in rest))
    yield sizes
    if past:
        emptied = sizes | dict.fromkeys(past, 0)
        yield emptied | dict.fromkeys(totals, sum(emptied[name] for name in rest))


def _groups(specs: Sequence[TensorSpec], names: Sequence[str], whole: bool) -> list[tuple[str, ...]]:
    """Return names that may change together: each alone, and those at the same place of inputs that are alike."""
    alone = [(name,) for name in names]
    places: dict[object, list[str]] = {}
    for spec in specs:
        fixed = tuple(size if isinstance(size, int) else None for size in spec.shape)
        for axis in spec.dynamic_axes:
            if (whole or axis) and spec.shape[axis] in names:
                places.setdefault((fixed, axis), []).append(str(spec.shape[axis]))
    return list(dict.fromkeys([*alone, *(tuple(dict.fromkeys(group)) for group in places.values())]))


def _can_batch(specs: Sequence[TensorSpec]) -> bool:
    """Whether the first axes can all be the batch, and no other axis is."""
    if not all(spec.shape for spec in specs):
        return False
    firsts = {spec.shape[0] for spec in specs}
    fixed = {size if isinstance(size, int) else None for size in firsts}
    inner = {atom for spec in specs for size in spec.shape[1:] if isinstance(size, str) for atom in _atoms(size, specs)}
    return len(fixed) == 1 and inner.isdisjoint(firsts)


def _batch_is_inside(specs: Sequence[TensorSpec]) -> bool:
    """Whether an axis other than the first is called like a batch, and no first axis is."""
    places = {axis for spec in specs for axis in spec.dynamic_axes if _BATCH.search(str(spec.shape[axis]))}
    return bool(places) and 0 not in places


def _batch_names(specs: Sequence[TensorSpec], names: Sequence[str]) -> set[str]:
    """Return which sizes of whole inputs are a batch, of one sample."""
    called = {name for name in names if _BATCH.search(name)}
    return called or {str(spec.shape[0]) for spec in specs if spec.dynamic_axes[:1] == (0,)} & set(names)


def _atoms(name: str, specs: Sequence[TensorSpec]) -> tuple[str, ...]:
    """Return what a dimension such as ``past + length`` is made of, if those are dimensions too; else itself."""
    parts = parts_of(name)
    dimensions = {size for spec in specs for size in spec.shape}
    return parts if parts and dimensions.issuperset(parts) else (name,)


def _parsed(name: str) -> ast.expr | None:
    """Return a dimension's arithmetic; None if it is none."""
    if len(name) > _LONGEST:
        return None
    try:
        tree = ast.parse(name, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if isinstance(tree, ast.BinOp) and _is_arithmetic(tree) else None


def _is_arithmetic(tree: ast.expr) -> bool:
    if isinstance(tree, ast.BinOp):
        return type(tree.op) in _ARITHMETIC and _is_arithmetic(tree.left) and _is_arithmetic(tree.right)
    return isinstance(tree, ast.Name) or (isinstance(tree, ast.Constant) and type(tree.value) is int)


def _evaluated(tree: Any, known: Mapping[str, int]) -> int:
    if isinstance(tree, ast.BinOp):
        left, right = _evaluated(tree.left, known), _evaluated(tree.right, known)
        return min(max(_ARITHMETIC[type(tree.op)](left, right), 0), _LARGEST)
    return known[tree.id] if isinstance(tree, ast.Name) else int(tree.value)
