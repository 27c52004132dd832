"""What two models answer where they are deployed: a runtime, or its options, can change that for one and the same file.

Their tensors are all computed in ONNX Runtime, so they do not show it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlopt.core.errors import MeasureError
from mlopt.core.worker import WorkerDiedError, WorkerRaisedError, run_in_worker
from mlopt.data.choice import some
from mlopt.data.dataset import Array, Dataset
from mlopt.data.feeds import batches
from mlopt.formats.model import Model
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.table import open_session
from mlopt.tensors.error import Error
from mlopt.tensors.feeding import common_batch


@dataclass(frozen=True)
class OutputDifference:
    """One output of the reference, and how far the other model's is from it; the figures of ``TensorDifference``."""

    output: str
    other: str
    sqnr_db: float | None
    channel_db: float | None
    cosine: float
    max_abs: float
    max_rel: float
    broken: int


@dataclass(frozen=True)
class OutputComparison:
    """The outputs that both have, in the reference's order, and in what each of the two was run."""

    a: str
    b: str
    differences: tuple[OutputDifference, ...]
    notes: tuple[str, ...] = ()


def compare_outputs(
    reference: Deployable, other: Deployable, samples: Dataset, log: Path, *, limit: int = 8
) -> OutputComparison:
    """Run both, a process each, on ``limit`` samples that are like them all.

    Raises ``MeasureError`` if they cannot be fed alike, or a process dies, and ``ModelError`` or ``MissingPackage`` if
    one of them cannot be run.
    """
    size = common_batch(reference.model, other.model, samples)
    rows = some(samples, limit).tolist()
    expected, got = (_run(each, samples, size, rows, log) for each in (reference, other))
    differences, notes = [], []
    for name, theirs in _pairs(reference.model, other.model):
        error = Error()
        shapes = {(one[name].shape, two[theirs].shape) for one, two in zip(expected, got, strict=True)}
        odd = next(((mine, its) for mine, its in shapes if mine != its), None)
        if odd is not None:
            notes.append(f"'{name}' is {list(odd[0])} in one model and {list(odd[1])} in the other")
            continue
        for one, two in zip(expected, got, strict=True):
            error.add(one[name], two[theirs])
        differences.append(OutputDifference(
            output=name, other=theirs, sqnr_db=error.sqnr_db, channel_db=error.channel_db, cosine=error.cosine,
            max_abs=error.max_abs, max_rel=error.max_rel, broken=error.broken,
        ))  # fmt: skip
    return OutputComparison(reference.where, other.where, tuple(differences), tuple(notes))


def _run(deployable: Deployable, samples: Dataset, size: int, rows: Sequence[int], log: Path) -> list[dict[str, Array]]:
    try:
        return run_in_worker(log, _answers, deployable, samples, size, list(rows))
    except (WorkerDiedError, WorkerRaisedError) as error:
        where = f"{deployable.model.path}, in {deployable.where}"
        raise MeasureError("the model could not be run", where=where, got=str(error)) from error


def _answers(deployable: Deployable, samples: Dataset, size: int, rows: Sequence[int]) -> list[dict[str, Array]]:
    """Be the process."""
    with open_session(deployable) as session:
        every = batches(samples, deployable.model.inputs, size, rows)
        return [{name: np.asarray(array) for name, array in session.run(feeds).items()} for feeds, _ in every]


def _pairs(a: Model, b: Model) -> Iterator[tuple[str, str]]:
    """Yield the outputs that both have; those that were renamed are matched by their place, if there are as many."""
    mine, theirs = [spec.name for spec in a.outputs], [spec.name for spec in b.outputs]
    kept = set(mine) & set(theirs)
    for place, name in enumerate(mine):
        if name in kept:
            yield name, name
        elif len(mine) == len(theirs) and theirs[place] not in kept:
            yield name, theirs[place]
