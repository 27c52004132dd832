"""Two versions of a model, tensor by tensor: where their results part, and at which node that starts.

The reference comes first. Both run on the same samples, on the CPU, and as they would be deployed: the runtime's own
optimizations are on. Tensors are exposed some at a time and summed up as they come, so memory does not grow with the
graph, and weights in external files are only mapped. Bodies of If, Loop and Scan are not looked into.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlopt.core.errors import MeasureError
from mlopt.data.choice import some
from mlopt.data.dataset import Dataset
from mlopt.runtimes.base import Deployable
from mlopt.tensors.error import Error
from mlopt.tensors.feeding import Feeds, common_batch, fed_alike
from mlopt.tensors.graph import Tensor, View, counterparts, followers, nearest, sources, tensors
from mlopt.tensors.side import Side

__all__ = [
    "THRESHOLD_DB", "TensorComparison", "TensorDifference", "compare_models", "compare_tensors", "first_divergence",
    "is_abrupt", "quality",
]  # fmt: skip

THRESHOLD_DB = 10.0
"""Below it a tensor counts as diverged: the error has a tenth of the signal's energy, and the cosine is about 0.95."""
DROP_DB = 10.0
"""How far a tensor must lie below all that it is computed from for its own node to be at fault."""
_AT_ONCE = 64

Notify = Callable[[float], None]


@dataclass(frozen=True)
class TensorDifference:
    """One tensor of the reference, and how far its counterpart in the other model is from it."""

    tensor: str
    node: str
    op_type: str
    other: str
    """Where the other model's value was read; for a quantized tensor, what it was dequantized to."""
    sqnr_db: float | None
    """Signal to noise over all values and samples; None if the two are equal."""
    channel_db: float | None
    """The same of the median channel; None if it is exact. Far below ``sqnr_db``: few channels hold the energy."""
    cosine: float
    """The mean over samples."""
    max_abs: float
    max_rel: float
    """``max_abs`` over the largest magnitude of the reference."""
    broken: int
    """Values that are NaN or infinite in only one of the two; the other figures leave them out."""
    is_output: bool
    reads: tuple[str, ...]
    """The closest compared tensors from which this one is computed."""


@dataclass(frozen=True)
class TensorComparison:
    """What was compared, in the reference's topological order."""

    differences: tuple[TensorDifference, ...]
    tensors: int
    """Floating-point tensors and outputs that the reference computes: those without a counterpart were not compared."""
    samples: int
    notes: tuple[str, ...]


def compare_tensors(a: Deployable, b: Deployable, samples: Dataset, *, limit: int = 8) -> tuple[TensorDifference, ...]:
    """Return the differences of ``compare_models`` alone."""
    return compare_models(a, b, samples, limit=limit).differences


def compare_models(
    reference: Deployable, other: Deployable, samples: Dataset, *, limit: int = 8, notify: Notify | None = None
) -> TensorComparison:
    """Compare ``other`` with the reference on ``limit`` samples that are like them all.

    ``notify`` is told the share of the work that is done. Raises ``MeasureError`` if the two cannot be fed alike or
    have no tensor in common, ``ModelError`` if onnxruntime refuses one of them, or one has no graph view.
    """
    a, b = reference.model, other.model
    size = common_batch(a, b, samples)
    first, second = Side.of(reference), Side.of(other)
    graph = first.proto.graph
    pairs, computed = counterparts(graph, second.proto.graph), tensors(graph, first.dtypes)
    instead = followers(graph, second.proto.graph, pairs)
    maybe = {name: (View(name), pairs[tensor][1]) for tensor, names in instead.items() for name in names}
    pairs |= maybe
    common = [tensor for tensor in computed if tensor.name in pairs]
    rows = some(samples, limit).tolist()
    errors: dict[str, Error] = {}
    notes = [*first.notes(), *second.notes()]
    for start in range(0, len(common), _AT_ONCE):
        chunk = {tensor.name: pairs[tensor.name] for tensor in common[start : start + _AT_ONCE]}
        found, odd = _measure(first, second, chunk, fed_alike(a, b, samples, size, rows))
        errors |= found
        notes += [note for name, note in odd.items() if name not in maybe]
        if notify is not None:
            notify(min(start + _AT_ONCE, len(common)) / len(common))
    errors = _as_they_stand(errors, instead)
    if not errors:
        raise MeasureError(
            "the two models have no tensor in common", where=str(b.path),
            got=", ".join(spec.name for spec in b.outputs), expected=", ".join(spec.name for spec in a.outputs),
            fix="compare two versions of one model: what a pass was given, and what it wrote",
        )  # fmt: skip
    measured = [tensor for tensor in common if tensor.name in errors]
    differences = _differences(measured, errors, pairs, sources(graph), {value.name for value in graph.output})
    return TensorComparison(differences, len(computed), len(rows), tuple(dict.fromkeys(notes)))


def quality(difference: TensorDifference) -> float:
    """Return the lower of the two ratios in dB: infinite if the two are equal, minus infinity with broken values."""
    if difference.broken:
        return -math.inf
    return min(math.inf if db is None else db for db in (difference.sqnr_db, difference.channel_db))


def first_divergence(
    differences: Sequence[TensorDifference], threshold_db: float = THRESHOLD_DB
) -> TensorDifference | None:
    """Return the first tensor below the threshold whose own node is at fault (``is_abrupt``).

    Where the error only builds up from node to node, return the first below the threshold; None if none is.
    """
    below = [difference for difference in differences if quality(difference) < threshold_db]
    return next((one for one in below if is_abrupt(one, differences, threshold_db)), below[0] if below else None)


def is_abrupt(
    difference: TensorDifference, differences: Sequence[TensorDifference], threshold_db: float = THRESHOLD_DB
) -> bool:
    """Whether a tensor lies 10 dB or more below everything that it is computed from.

    What is read counts as no better than 10 dB above the threshold: every quantized tensor is far worse than an exact
    one, and few are at fault.
    """
    known = {one.tensor: quality(one) for one in differences}
    worst = min((known[name] for name in difference.reads), default=math.inf)
    return worst > -math.inf and quality(difference) <= min(worst, threshold_db + DROP_DB) - DROP_DB


def _measure(
    first: Side, second: Side, views: Mapping[str, tuple[View, View]], feeds: Iterator[tuple[Feeds, Feeds]]
) -> tuple[dict[str, Error], dict[str, str]]:
    """Run both with the tensors of ``views`` exposed; return their errors, and why some could not be compared."""
    one = first.open([view for view, _ in views.values()])
    other = second.open([view for _, view in views.values()])
    common = {
        name: (left.output, right.output)
        for name, (left, right) in views.items()
        if one.comparable(left) and other.comparable(right)
    }
    errors = {name: Error() for name in common}
    odd: dict[str, str] = {}
    for mine, theirs in feeds:
        expected = one.run([left for left, _ in common.values()], mine)
        got = other.run([right for _, right in common.values()], theirs)
        for name, (left, right) in common.items():
            if expected[left].shape == got[right].shape:
                errors[name].add(expected[left], got[right])
            else:
                odd[name] = (
                    f"'{name}' is {list(expected[left].shape)} in one model and {list(got[right].shape)} in the other"
                )
    return {name: error for name, error in errors.items() if name not in odd}, odd


def _as_they_stand(errors: Mapping[str, Error], instead: Mapping[str, Sequence[str]]) -> dict[str, Error]:
    """Of the tensors that one counterpart may stand for, keep the one to which it is nearest."""

    def nearness(name: str) -> float:
        decibels = errors[name].sqnr_db
        return math.inf if decibels is None else decibels

    kept = dict(errors)
    for name, others in instead.items():
        rivals = [each for each in (name, *others) if each in errors]
        nearest_one = max(rivals, key=nearness, default=None)
        for each in rivals:
            if each != nearest_one:
                del kept[each]
    return kept


def _differences(
    measured: Sequence[Tensor],
    errors: Mapping[str, Error],
    pairs: Mapping[str, tuple[View, View]],
    reads: Mapping[str, Sequence[str]],
    outputs: Collection[str],
) -> tuple[TensorDifference, ...]:
    known = frozenset(tensor.name for tensor in measured)
    return tuple(
        TensorDifference(
            tensor.name, tensor.node, tensor.op_type, pairs[tensor.name][1].name,
            sqnr_db=error.sqnr_db, channel_db=error.channel_db, cosine=error.cosine, max_abs=error.max_abs,
            max_rel=error.max_rel, broken=error.broken, is_output=tensor.name in outputs,
            reads=nearest(reads, tensor.name, known),
        )
        for tensor in measured
        for error in (errors[tensor.name],)
    )  # fmt: skip
