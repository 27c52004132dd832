"""The same samples, as each of two models takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlopt.core.errors import MeasureError
from mlopt.data.dataset import Array, Dataset
from mlopt.data.feeds import batch_of, batches
from mlopt.formats.model import Model

Feeds = Mapping[str, Array]


def common_batch(a: Model, b: Model, samples: Dataset) -> int:
    """Return how many samples one inference takes, one where both are free; raises ``MeasureError``."""
    wanted, given = ([(spec.name, spec.dtype) for spec in model.inputs] for model in (a, b))
    if sorted(wanted) != sorted(given):
        raise MeasureError(
            "only models with the same inputs can be compared", where=str(b.path),
            got="; ".join(map(str, b.inputs)), expected="; ".join(map(str, a.inputs)),
            fix="compare two versions of one model that keep its inputs",
        )  # fmt: skip
    size = batch_of(samples, a.inputs, batch_of(samples, b.inputs, 1))
    if batch_of(samples, b.inputs, size) != size:
        raise MeasureError(
            "the models take different numbers of samples in one inference", where=str(b.path),
            got=str(batch_of(samples, b.inputs, size)), expected=str(size),
            fix="export both with the same batch size, or with a dynamic one",
        )  # fmt: skip
    return size


def fed_alike(a: Model, b: Model, samples: Dataset, size: int, rows: Sequence[int]) -> Iterator[tuple[Feeds, Feeds]]:
    """Yield the same samples as each of the two takes them."""
    both = (batches(samples, model.inputs, size, rows) for model in (a, b))
    yield from ((one, other) for (one, _), (other, _) in zip(*both, strict=True))
