"""Fills a document of sketches, row by row: rows wait until there are enough of them to be worth a call each.

A sketch takes about 30 ns for a number, and a call about as long as a hundred of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlopt.data.ragged import is_ragged, ragged
from mlopt.sketches import library
from mlopt.sketches.columns import Columns, SketchColumn, columns
from mlopt.sketches.document import PartSketch, Side, Sketches, TensorSketch, encoded
from mlopt.sketches.plan import SketchPlan, TensorPlan

if TYPE_CHECKING:
    from mlopt.runtimes.base import Array

ROWS_AT_ONCE = 512
BYTES_AT_ONCE = 4 << 20


class Sketcher:
    """Sketches of what a model is fed and answers. Not for several threads at once.

    Raises ``MissingPackage`` without ``datasketches``.
    """

    def __init__(self, plan: SketchPlan) -> None:
        library.check_installed()
        self._plan = plan
        self._tensors = {(one.side, one.name): _Tensor(one) for one in plan.tensors}
        self._waiting: dict[Side, dict[str, list[Array]]] = {"input": {}, "output": {}}
        for one in plan.tensors:
            self._waiting[one.side][one.name] = []
        self._rows = self._waiting_rows = self._waiting_bytes = self.offered = 0

    def add(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """Take some rows: each array is [rows, ...] or ragged; what the plan does not name is left alone.

        Arrays are copied. ``DataError`` is raised, here or later, for rows of another size than the plan's.
        """
        rows = -1
        for waiting, arrays in ((self._waiting["input"], inputs), (self._waiting["output"], outputs)):
            for name, array in arrays.items():
                queue = waiting.get(name)
                if queue is None:
                    continue
                rows = len(array) if rows < 0 else rows
                if len(array) == rows:
                    queue.append(array.copy())
                    self._waiting_bytes += array.nbytes
        rows = max(rows, 0)
        self._rows += rows
        self.offered += rows
        self._waiting_rows += rows
        if self._waiting_rows >= ROWS_AT_ONCE or self._waiting_bytes >= BYTES_AT_ONCE:
            self._flush()

    def skip(self, rows: int) -> None:
        """Count rows that are not sketched."""
        self.offered += rows

    @property
    def rows(self) -> int:
        """How many rows were sketched, or wait for it."""
        return self._rows

    def document(self, digest: str | None = None) -> Sketches:
        """Return what is known by now; ``digest`` is the artifact's that answered."""
        self._flush()
        tensors = tuple(one.sketch() for one in self._tensors.values())
        return Sketches(
            digest=digest, rows=self._rows, offered=self.offered, tensors=tensors, left_out=self._plan.left_out
        )

    def _flush(self) -> None:
        self._waiting_rows = self._waiting_bytes = 0
        for side, queues in self._waiting.items():
            for name, queue in queues.items():
                if queue:
                    arrays = [*queue]
                    queue.clear()
                    self._tensors[side, name].take(_joined(arrays))


class _Tensor:
    """The sketches of one tensor."""

    def __init__(self, plan: TensorPlan) -> None:
        self._plan = plan
        self._parts = [_Part(bounded=bounds is not None) for bounds in plan.bounds]
        self._distinct = library.distinct_values() if plan.counts_distinct else None
        self._classes = np.zeros(plan.size or 0, np.int64) if plan.form == "classes" else None
        self._rows = self._empty = 0

    def take(self, array: Array) -> None:
        found: Columns = columns(self._plan, array, self._rows)
        self._rows += found.rows
        self._empty += found.empty
        for part, column in zip(self._parts, found.parts, strict=True):
            part.take(column)
        if self._distinct is not None:
            for value in found.distinct:
                self._distinct.update(value)
        if self._classes is not None and found.classes is not None:
            self._classes += found.classes

    def sketch(self) -> TensorSketch:
        plan = self._plan
        return TensorSketch(
            name=plan.name, side=plan.side, form=plan.form, dtype=plan.dtype, size=plan.size, rows=self._rows,
            parts=tuple(part.sketch(name) for part, name in zip(self._parts, plan.parts, strict=True)),
            empty=self._empty,
            distinct=None if self._distinct is None else encoded(bytes(self._distinct.serialize_compact())),
            classes=None if self._classes is None else tuple(map(int, self._classes)),
        )  # fmt: skip


class _Part:
    """The sketch of one part, and its counts: NaN, infinity, minus infinity, below, above."""

    def __init__(self, *, bounded: bool) -> None:
        self._numbers = library.numbers()
        self._counts = [0, 0, 0, 0, 0]
        self._bounded = bounded

    def take(self, column: SketchColumn) -> None:
        if len(column.values):
            self._numbers.update(np.ascontiguousarray(column.values))
        new = (column.nan, column.inf, column.minus_inf, column.below or 0, column.above or 0)
        self._counts = [a + b for a, b in zip(self._counts, new, strict=True)]

    def sketch(self, name: str) -> PartSketch:
        nan, inf, minus_inf, below, above = self._counts
        return PartSketch(
            name=name, kll=encoded(bytes(self._numbers.serialize())), nan=nan, inf=inf, minus_inf=minus_inf,
            below=below if self._bounded else None, above=above if self._bounded else None,
        )  # fmt: skip


def _joined(arrays: list[Array]) -> Array:
    if len({array.shape[1:] for array in arrays}) == 1 and not any(map(is_ragged, arrays)):
        return np.concatenate(arrays)
    return ragged([row for array in arrays for row in array])
