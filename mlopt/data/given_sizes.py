"""Sizes that a user names for inputs whose dimensions are free: ``image=1,3,224,224``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mlopt.core.errors import DataError, Problem
from mlopt.data.sizes import fixed_size
from mlopt.formats.model import TensorSpec

Shapes = Mapping[str, Sequence[int]]
"""By the input's name, the size of every axis."""


def with_sizes(specs: Sequence[TensorSpec], shapes: Shapes) -> tuple[TensorSpec, ...]:
    """Return the inputs with these sizes in place of their free ones, and of the same names in other inputs.

    A free first axis stays free: it is the batch. Raises ``DataError`` with everything that does not fit.
    """
    problems = [problem for name, sizes in shapes.items() if (problem := _misfit(specs, name, sizes)) is not None]
    if problems:
        raise DataError.of(problems)
    batches = {spec.shape[0] for spec in specs if spec.shape}
    known = {
        str(size): shapes[spec.name][axis]
        for spec in specs if spec.name in shapes
        for axis, size in enumerate(spec.shape) if isinstance(size, str) and size not in batches
    }  # fmt: skip
    return tuple(replace(spec, shape=tuple(fixed_size(size, known) for size in spec.shape)) for spec in specs)


def _misfit(specs: Sequence[TensorSpec], name: str, sizes: Sequence[int]) -> Problem | None:
    where, found = f"--shape {name}={','.join(map(str, sizes))}", {spec.name: spec for spec in specs}
    if name not in found:
        return Problem("the model has no such input", where, expected=", ".join(found))
    shape = found[name].shape
    if len(shape) != len(sizes) or any(
        isinstance(is_, int) and is_ != size for is_, size in zip(shape, sizes, strict=True)
    ):
        return Problem("the input has another shape", where, expected=str(found[name]))
    return None
