"""Models in which the samples of a batch influence each other, and results that know single samples only.

A BatchNormalization in training mode, or a mean over the first axis, makes of a sample alone something else than of the
same sample among others: alone, it may even give a constant. Ranges of INT8 that were observed on single samples then
cut off what a batch gives, and an evaluation of single samples does not see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.data.ragged import is_ragged
from mlopt.formats.model import Model
from mlopt.formats.onnx.training import EXPORT_AGAIN, in_training
from mlopt.formats.table import graph_of, has_graph
from mlopt.measure.tolerance import within_tolerance
from mlopt.results.figures import Parity

Arrays = Mapping[str, NDArray[Any]]
Pair = tuple[Arrays, Arrays, int | None]
"""What was fed, what the model made of it, and the sample that it was, if it was one."""

TOGETHER = 3
"""How many samples are fed as one batch: the first of those that are fed alone, in a circle if there are fewer."""
_WORSE_DB, _NEAR_DB = 10.0, 20.0
"""More than three times the error of the worst single sample, and more than 10 %."""


def apart(pairs: Sequence[Pair], found: Sequence[Parity]) -> str | None:
    """Return how much worse a result is in a batch than alone, of a model in which that is not the same.

    ``found`` says how far the result is from each of ``pairs``, which are of the model that it was made from.
    """
    alone = [(pair, parity) for pair, parity in zip(pairs, found, strict=True) if pair[2] is not None]
    batches = [(pair, parity) for pair, parity in zip(pairs, found, strict=True) if _begins(pair, alone[0][0])]
    if not batches or not _influenced([outputs for (_, outputs, _), _ in alone], batches[0][0][1]):
        return None
    single, together = (_sqnr([parity for _, parity in each]) for each in (alone, batches))
    if together >= min(single - _WORSE_DB, _NEAR_DB):
        return None
    errors = [f"{min(10 ** (-value / 20), 1e9):.1%}" for value in (single, together)]
    return f"an error of at most {errors[0]} alone, and of {errors[1]} in a batch of {TOGETHER}"


def remedy(model: Model) -> str:
    """Say what can be done about it."""
    names = in_training(graph_of(model).graph) if has_graph(model.kind) else []
    if names:
        return f"{', '.join(names[:3])}: in training mode; {EXPORT_AGAIN}"
    return "leave the pass out, or take ranges from each batch as it comes: `quantize: {mode: dynamic}` or weight_only"


def _begins(pair: Pair, first: Pair) -> bool:
    """Whether a batch was fed, and its first sample is ``first``; other pairs are of samples of another size."""
    fed, alone = pair[0], first[0]
    batched = [name for name, array in fed.items() if array.shape == (TOGETHER, *alone[name].shape[1:])]
    return bool(batched) and all(np.array_equal(fed[name][:1], alone[name]) for name in batched)


def _influenced(alone: Sequence[Arrays], batch: Arrays) -> bool:
    """Whether the rows of any output in floating point differ, beyond rounding, from those of the samples alone."""
    for name, together in batch.items():
        if is_ragged(together) or together.dtype.kind != "f" or together.shape[:1] != (TOGETHER,):
            continue
        rows = [alone[row % len(alone)][name] for row in range(TOGETHER)]
        if any(row.shape != (1, *together.shape[1:]) for row in rows):
            continue
        if within_tolerance({name: np.concatenate(rows)}, {name: together}) is not None:
            return True
    return False


def _sqnr(found: Sequence[Parity]) -> float:
    return min((parity.sqnr_db for parity in found if parity.sqnr_db is not None), default=np.inf)
