"""What a candidate answers to every sample: computed in a process of its own, and kept as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mlopt.data import ragged
from mlopt.data.dataset import Dataset
from mlopt.data.feeds import predict
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch.memory import generators
from mlopt.measure import repeats
from mlopt.measure.candidate import Candidate
from mlopt.runtimes.base import Array, Feeds
from mlopt.runtimes.table import open_session


def write_outputs(
    candidate: Candidate, dataset: Dataset, batch_size: int, out: Path, twice: bool = False
) -> dict[str, Any]:
    """Run every sample and write each output, [samples, ...] or ragged, as ``<number>.npy``.

    Returns ``names``, and ``answers``: by name, of what type and rank it is as it came, before samples were joined.

    Samples go through in the batches in which they will be served: dynamic quantization scales by the batch. With
    ``twice``, ``ModelError`` is raised if the model does not repeat itself.
    """
    model = candidate.model
    with open_session(candidate.deployable) as session:
        before = generators()
        outputs, answers = answered(session.run, dataset, model.inputs, batch_size)
        if twice:
            again = partial(open_session, candidate.deployable)
            repeats.check(model, again, dataset, batch_size, run=session.run, outputs=outputs, before=before)
    return saved(outputs, answers, out)


def answered(
    run: Callable[[Feeds], dict[str, Array]], dataset: Dataset, inputs: Sequence[TensorSpec], batch_size: int
) -> tuple[dict[str, Array], dict[str, str]]:
    """Return what an open model answers to every sample, and of what type and rank each output is as it comes."""
    answers: dict[str, str] = {}

    def told(feeds: Feeds) -> dict[str, Array]:
        found = run(feeds)
        answers.update({name: _as_told(array) for name, array in found.items()})
        return found

    return predict(told, dataset, inputs, batch_size), answers


def saved(outputs: Mapping[str, Array], answers: Mapping[str, str], out: Path) -> dict[str, Any]:
    """Write what ``answered`` gave to files; return what ``write_outputs`` does."""
    for number, values in enumerate(outputs.values()):
        ragged.save(values, out / f"{number}.npy")
    return {"names": list(outputs), "answers": dict(answers)}


def _as_told(answer: object) -> str:
    """Return what an output is; a library may give anything."""
    if not isinstance(answer, np.ndarray):
        return type(answer).__name__
    return f"{'text' if answer.dtype.kind == 'U' else answer.dtype} of rank {answer.ndim}"


def read_outputs(out: Path, names: list[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Read what ``write_outputs`` wrote, memory-mapped."""
    return {name: ragged.load(out / f"{number}.npy") for number, name in enumerate(names)}
