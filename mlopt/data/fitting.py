"""Whether samples and a model fit each other: what can be fed, samples that are made up to fit, what spoils an output.

Each is asked of the model itself, in a process of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlopt.core.errors import DataError, ModelError
from mlopt.core.worker import WorkerDiedError, WorkerRaisedError, run_in_worker
from mlopt.data.dataset import Array, Dataset, open_dataset
from mlopt.data.dataset import store as store_samples
from mlopt.data.feeds import batches
from mlopt.data.given_sizes import Shapes, with_sizes
from mlopt.data.made_up import SYNTHETIC, fit, has_choice, samples_of
from mlopt.data.sizes import attempts
from mlopt.data.vocabulary import known_words
from mlopt.formats.model import Model, TensorSpec, is_numeric
from mlopt.formats.table import format_of, graph_of, has_graph
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.table import open_session, that_checks_sizes

_LOG = logging.getLogger(__name__)


def check_fed(model: Model) -> None:
    """Raise ``ModelError`` if an input cannot be fed, whatever the data: NumPy has no such values."""
    if not model.inputs:
        raise ModelError("the model has no inputs, so there is nothing to run it on", where=str(model.path),
                         fix="make what it depends on an input")  # fmt: skip
    check = format_of(model.kind).check
    if check is not None:
        check(model)
        return
    for spec in model.inputs:
        if not is_numeric(spec.dtype):
            raise ModelError(
                "an input of this dtype cannot be fed: samples are NumPy arrays", where=f"model.inputs: '{spec.name}'",
                got=spec.dtype, expected="a NumPy dtype",
                fix="declare float32, and let forward() convert it" if spec.dtype == "bfloat16" else
                "declare numbers, and encode text before it reaches the model",
            )  # fmt: skip


def narrowest(models: Sequence[Deployable]) -> Deployable:
    """Return the model that leaves its inputs the least freedom, the first of equals: what it takes the others may."""
    return min(models, key=lambda each: (sum(len(s.dynamic_axes) for s in each.model.inputs), -len(each.model.fixed)))


def make_up(deployable: Deployable, batch_size: int, out: Path, log: Path, shapes: Shapes | None = None) -> Dataset:
    """Store random samples that the model takes, of these shapes: enough to time it, never to judge its accuracy."""
    model = deployable.model
    check_fed(model)
    specs = with_sizes(model.inputs, shapes or {})
    if has_choice(specs):
        try:
            run_in_worker(log, _make_up, deployable, specs, batch_size, out)
        except (WorkerDiedError, WorkerRaisedError) as error:
            _LOG.info("%s ended while its inputs were made up: %s", model.path, error)  # who measures it tells how
        else:
            return open_dataset(out)
    return store_samples(samples_of(next(attempts(specs)), specs), out, SYNTHETIC)


def check_finite(dataset: Dataset, deployable: Deployable, log: Path) -> None:
    """Raise ``DataError`` for NaN and infinity in samples that the model's outputs show: those were not meant.

    A mask may be infinite, and a gap be marked by NaN, where the model is made for it.
    """
    if not dataset.not_finite:
        return
    try:
        spoilt = run_in_worker(log, _spoilt, dataset, deployable)
    except (WorkerDiedError, WorkerRaisedError) as error:
        where = str(deployable.model.path)
        raise ModelError("the model cannot be run on this data", where=where, got=str(error)) from error
    if spoilt:
        first = {name: array[spoilt[0]] for name, array in dataset.inputs.items() if array.dtype.kind == "f"}
        name = next(name for name, values in first.items() if not np.isfinite(values).all())
        raise DataError(
            "the values hold NaN or infinity, and so does what the model makes of them",
            where=f"{dataset.source}: input '{name}'",
            got=f"{len(spoilt)} of {dataset.count} samples, the first is sample {spoilt[0]}",
            expected="finite numbers", fix="repair or leave out these samples",
        )  # fmt: skip


def _make_up(deployable: Deployable, specs: Sequence[TensorSpec], batch_size: int, out: Path) -> None:
    model = deployable.model
    texts = [spec.name for spec in model.inputs if spec.dtype == "string"]
    if texts and not has_graph(model.kind):
        _LOG.info("kind %s has no graph view, so the texts that it knows are not known", model.kind)
    words = known_words(graph_of(model), texts) if texts and has_graph(model.kind) else {}
    with open_session(that_checks_sizes(deployable)) as session:
        samples = fit(specs, session.run, batch_size, words)
    store_samples(samples, out, SYNTHETIC)


def _spoilt(dataset: Dataset, deployable: Deployable) -> list[int]:
    """Return which of the samples that are not finite spoil an output."""
    found = []
    with open_session(deployable) as session:
        for row in dataset.not_finite:
            feeds, _ = next(batches(dataset, deployable.model.inputs, 1, [row]))
            if any(_is_spoilt(array) for array in session.run(feeds).values()):
                found.append(row)
    return found


def _is_spoilt(output: Array) -> bool:
    """Whether an output says nothing; scores may be minus infinity where they are masked."""
    if output.dtype.kind != "f" or not output.size:
        return False
    return bool(np.isnan(output).any() or np.isposinf(output).any() or np.isneginf(output).all())
