"""Requests joined along their first axis to one inference, and its outputs parted again.

Pure. By their shapes, a model's requests can be joined if the first axis of all inputs and outputs is free and is one,
and lies nowhere else. Whether rows are then answered as alone, only running tells: see ``probe.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import ModelError
from mlopt.formats.model import TensorSpec

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Joining:
    """The inputs that have a row for each of a request; an input that is not among them has one value for all."""

    inputs: tuple[str, ...]

    def rows(self, feeds: Arrays) -> int:
        """Return how many rows a request has."""
        return int(feeds[self.inputs[0]].shape[0])

    def key(self, feeds: Arrays) -> tuple[object, ...]:
        """Return what requests have in common that can be joined: all sizes but the first."""
        return tuple(feeds[name].shape[1:] for name in self.inputs)

    def joined(self, requests: Sequence[Arrays]) -> dict[str, Array]:
        """Return the feeds of several requests as one."""
        if len(requests) == 1:
            return dict(requests[0])
        return {
            name: np.concatenate([feeds[name] for feeds in requests]) if name in self.inputs else array
            for name, array in requests[0].items()
        }


def joining_of(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Joining | str:
    """Return how requests of a model are joined, or why they are not."""
    joined = [spec for spec in inputs if spec.value is None]
    firsts = {spec.shape[0] if spec.shape else None for spec in (*joined, *outputs)}
    if not joined or not outputs or len(firsts) != 1:
        return "its inputs and outputs have no first axis in common"
    (first,) = firsts
    if not isinstance(first, str):
        return "its first axis is fixed" if first is not None else "it has no first axis"
    if any(size == first for spec in (*inputs, *outputs) for size in spec.shape[1:]):
        return f"its first axis, '{first}', is another one as well"
    return Joining(tuple(spec.name for spec in joined))


def parted(outputs: Arrays, rows: Sequence[int]) -> Iterator[dict[str, Array]]:
    """Yield copies of each request's own outputs; raises ``ModelError`` where an output has not an entry per row."""
    total, start = sum(rows), 0
    for name, output in outputs.items():
        if output.shape[:1] != (total,):
            raise ModelError(
                f"output '{name}' has not one entry for each row, though its shape says so",
                got=f"shape {list(output.shape)}", expected=f"{total} entries",
            )  # fmt: skip
    for count in rows:
        yield {name: np.array(output[start : start + count]) for name, output in outputs.items()}
        start += count
