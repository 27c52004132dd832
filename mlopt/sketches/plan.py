"""What is sketched of each tensor: decided once, by the artifact's own sketches where there are some.

Rows of few values get a sketch for each; of larger ones all values share one, and each row's mean and deviation have
their own, which is what a change of the whole shows in. What looks like the scores of classes is counted by class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlopt.core.foreign_text import plain
from mlopt.data.ragged import is_ragged
from mlopt.formats.model import NOT_IN_NUMPY, TensorSpec
from mlopt.runtimes.base import Array
from mlopt.sketches.document import MAX_CLASSES, MAX_PARTS, Form, Side, Sketches, TensorSketch

MOST_FEATURES: Mapping[Side, int] = {"input": 64, "output": 8}
"""Values of a row up to which each has a sketch of its own."""
OF_VALUES = ("values", "row mean", "row deviation")
OF_CLASSES = ("largest", "lead")
OF_TEXT = ("length",)
Bounds = tuple[float, float]
"""The least and the largest value of the reference."""


@dataclass(frozen=True)
class TensorPlan:
    """What is sketched of one tensor."""

    name: str
    side: Side
    form: Form
    dtype: str
    size: int | None
    parts: tuple[str, ...]
    bounds: tuple[Bounds | None, ...]
    """Of each part; None where there is no reference."""

    @property
    def counts_distinct(self) -> bool:
        """Whether its values are such that it says something how many of them differ."""
        return self.form == "text" or (self.form != "classes" and np.dtype(self.dtype).kind in "iu")


@dataclass(frozen=True)
class SketchPlan:
    """What is sketched of a model."""

    tensors: tuple[TensorPlan, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Given:
    name: str
    side: Side
    dtype: str
    row: tuple[int | str, ...] | None
    """The sizes of a row; None if rows differ in rank."""

    @property
    def size(self) -> int | None:
        if self.row is None or any(isinstance(each, str) for each in self.row):
            return None
        return math.prod(int(each) for each in self.row)


def plan_of(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    arrays: Mapping[Side, Mapping[str, Array]] | None = None,
) -> SketchPlan:
    """Return what is sketched of a model with these inputs and outputs.

    Their first axis counts rows, unless ``arrays``, by side and name, have one axis more than the model's: then each
    row is a whole input or output.
    """
    known = arrays or {}
    sides: tuple[tuple[Side, Sequence[TensorSpec]], ...] = (("input", inputs), ("output", outputs))
    given = [_given(spec, side, known.get(side, {}).get(spec.name)) for side, specs in sides for spec in specs]
    return _planned(given)


def plan_like(reference: Sketches) -> SketchPlan:
    """Return what must be sketched to be compared with ``reference``, and to count what is out of its range."""
    return SketchPlan(tuple(map(_like, reference.tensors)), reference.left_out)


def _like(one: TensorSketch) -> TensorPlan:
    bounds = tuple((part.numbers.low, part.numbers.high) if part.numbers.n else None for part in one.parts)
    parts = tuple(part.name for part in one.parts)
    return TensorPlan(one.name, one.side, one.form, one.dtype, one.size, parts=parts, bounds=bounds)


def _given(spec: TensorSpec, side: Side, array: Array | None) -> _Given:
    if array is not None and is_ragged(array) and spec.dtype != "string":
        return _Given(spec.name, side, spec.dtype, None)
    if array is None or array.ndim == len(spec.shape):
        return _Given(spec.name, side, spec.dtype, spec.shape[1:])
    return _Given(spec.name, side, spec.dtype, spec.shape if array.ndim == len(spec.shape) + 1 else array.shape[1:])


def _planned(given: Sequence[_Given]) -> SketchPlan:
    plans: list[TensorPlan] = []
    left_out: list[str] = []
    room = MAX_PARTS
    for place, one in enumerate(given):
        reason = _why_not(one, room)
        if reason is not None:
            left_out.append(plain(f"{one.side} '{one.name[:200]}': {reason}"))
            continue
        kept = len(OF_VALUES) * (len(given) - place - 1)
        plans.append(_plan(one, room - kept))
        room -= len(plans[-1].parts)
    return SketchPlan(tuple(plans), tuple(left_out[:200]))


def _why_not(one: _Given, room: int) -> str | None:
    if one.dtype != "string" and not _is_number(one.dtype):
        return f"values of {one.dtype} are not sketched"
    if one.size == 0:
        return "its rows hold no values"
    if len(one.name) > 300:
        return "its name is too long"
    return "there are too many tensors" if room < len(OF_VALUES) else None


def _is_number(dtype: str) -> bool:
    return dtype not in NOT_IN_NUMPY and dtype in np.sctypeDict and np.dtype(dtype).kind in "fiub"


def _plan(one: _Given, room: int) -> TensorPlan:
    form, parts = _form(one, room)
    return TensorPlan(one.name, one.side, form, one.dtype, one.size, parts=parts, bounds=(None,) * len(parts))


def _form(one: _Given, room: int) -> tuple[Form, tuple[str, ...]]:
    if one.dtype == "string":
        return "text", OF_TEXT
    if one.side == "output" and one.row and len(one.row) == 1 and _is_scores(one):
        return "classes", OF_CLASSES
    if one.size is not None and one.size <= min(MOST_FEATURES[one.side], room):
        return "features", tuple(str(number) for number in range(one.size))
    return "values", OF_VALUES


def _is_scores(one: _Given) -> bool:
    return np.dtype(one.dtype).kind == "f" and one.size is not None and 2 <= one.size <= MAX_CLASSES
