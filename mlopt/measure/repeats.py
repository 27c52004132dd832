"""Whether the source model gives the same answer to the same question twice.

Everything that is said of a result rests on that: a model that draws random numbers, or remembers the last call,
differs from any copy of itself, and one pass or another would be blamed. So the source is run again, on the same
samples in another order, and what has no graph view, such as PyTorch, also as it is opened a second time. What differs
is then traced to an operator, a buffer or an attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from mlopt.core.errors import MloptError, ModelError
from mlopt.data.dataset import Dataset
from mlopt.data.feeds import Run, batch_of, batches, predict
from mlopt.formats.model import TORCH, Model
from mlopt.formats.onnx.graph import reads
from mlopt.formats.onnx.training import EXPORT_AGAIN, in_training
from mlopt.formats.table import graph_of, has_graph
from mlopt.formats.torch.memory import generators, traced
from mlopt.measure.lossless import OutputChange, Outputs, change
from mlopt.runtimes.base import Session

if TYPE_CHECKING:
    import onnx

_NAMED = 3
_BATCHES = 8
"""So many are run again from either end, or all, if the model is seen to draw random numbers."""
_RANDOM = frozenset({
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli", "Sampling",
})  # fmt: skip
_TRAINS = frozenset({"Dropout", "BiasDropout", "BitmaskDropout", "BitmaskBiasDropout"})
_NOISE = "make the noise an input of the model and give it in the data, or take it out"
Again = Callable[[], AbstractContextManager[Session]]
_EXPECTED = "equal outputs, within rounding: without that no result can be held against the source"


def check(
    model: Model, again: Again, samples: Dataset, batch_size: int, *, run: Run, outputs: Outputs,
    before: object,
) -> None:  # fmt: skip
    """Raise ``ModelError`` if the model, run again, does not give ``outputs``; says what in it is random, or remembers.

    ``run`` is the session that gave them, ``before`` what ``generators`` said until then, and ``again`` opens another.
    """
    drew = generators() != before or (has_graph(model.kind) and any(random_nodes(model, tuple(outputs))))
    size = batch_of(samples, model.inputs, batch_size)
    rows = _rows(samples.count, size, samples.count if drew else _BATCHES)
    found = _again(run, model, samples, batch_size, outputs, rows)
    if found is not None:
        raise _blamed(model, samples, batch_size, found)
    if not has_graph(model.kind):
        _check_built_again(model, again, samples, batch_size, outputs, size)


def _check_built_again(
    model: Model, again: Again, samples: Dataset, batch_size: int, outputs: Outputs, size: int
) -> None:
    """Raise ``ModelError`` if the model, built a second time, answers otherwise.

    It begins with another batch than the first one did: what a model keeps of the first that it sees shows only then.
    """
    end = max(0, samples.count // size - 1) * size
    first, last = (list(range(start, start + min(samples.count, size))) for start in (0, end))
    with again() as session:
        found = _again(session.run, model, samples, batch_size, outputs, [*last, *first])
    if found is None:
        return
    with again() as session:
        as_before = _again(session.run, model, samples, batch_size, outputs, first) is None
    if as_before:
        raise _blamed(model, samples, batch_size, found)
    raise ModelError(
        "the model is not built alike twice", where=_where(model), got=_told(found), expected=_EXPECTED,
        fix="do not draw in __init__() what is no parameter or buffer, or draw it from a generator with a seed",
    )  # fmt: skip


def _rows(count: int, size: int, most: int) -> list[int]:
    """Return the samples of whole batches, the last batch first, and then of the last one if it is not full.

    The first batch comes twice in a row: of a state that goes back and forth, one of the two meets the other side.
    """
    starts = list(range(0, count - size + 1, size))
    chosen = starts if len(starts) <= 2 * most else [*starts[:most], *starts[-most:]]
    order = [*reversed(chosen), *chosen[:1]]
    return [start + row for start in order for row in range(size)] + list(range(count - count % size, count))


def _again(
    run: Run, model: Model, samples: Dataset, batch_size: int, outputs: Outputs, rows: Sequence[int]
) -> OutputChange | None:
    first = {name: array[list(rows)] for name, array in outputs.items()}
    return change(first, predict(run, samples, model.inputs, batch_size, rows), samples=rows)


def _told(found: OutputChange) -> str:
    first = found.first
    where = f"output '{found.output}', sample {found.sample}: {first.place} was {first.expected}, then {first.got}"
    return f"{where}; {found.samples} of {found.count} samples differ"


def _blamed(model: Model, samples: Dataset, batch_size: int, found: OutputChange) -> ModelError:
    drawn, kept = _causes(model, samples, batch_size, found)
    causes = [_listed("", drawn)] if drawn else []
    causes += [_listed("changed by a call: ", kept)] if kept else []
    if drawn:
        what, fix = "the model is random: the same input gives other outputs each time", _fix_of(model)
    elif kept:
        what = "the model keeps state between calls: the same input gives other outputs the next time"
        fix = "take the state as an input and return it as an output, or set it anew at the start of forward()"
        fix = fix if model.kind == TORCH else f"it was exported in training mode: {EXPORT_AGAIN}"
    else:
        what = "the model does not repeat itself: the same input gives other outputs the next time"
        seen = has_graph(model.kind) or model.kind == TORCH
        causes = ["neither a random operator nor a changed buffer or attribute was seen" if seen
                  else f"kind {model.kind} has no graph view to find the operator in"]  # fmt: skip
        fix = f"look for a clock, a file or a random generator in what it computes; {_NOISE}"
    got = "; ".join((*causes, _told(found)))
    return ModelError(what, where=_where(model), got=got, expected=_EXPECTED, fix=fix)


def _listed(head: str, names: Sequence[str]) -> str:
    return f"{head}{', '.join(names[:_NAMED])}{f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''}"


def _causes(model: Model, samples: Dataset, batch_size: int, found: OutputChange) -> tuple[list[str], list[str]]:
    """Return what the model draws from, and what it changes when it runs."""
    if has_graph(model.kind):
        return list(random_nodes(model, (found.output,))), in_training(graph_of(model).graph)
    if model.kind != TORCH:  # no runtime but PyTorch can be watched from inside
        return [], []
    feeds = [feed for feed, _ in batches(samples, model.inputs, batch_size, [0, found.sample])]
    try:
        return traced(model, [*feeds, *feeds])
    except MloptError:  # being watched is more than some models bear; what is known is told all the same
        return [], []


def _where(model: Model) -> str:
    if model.kind != TORCH:
        return str(model.path)
    from mlopt.formats.torch.model import origin

    return origin(model)


def _fix_of(model: Model) -> str:
    if model.kind == TORCH:
        return f"{_NOISE}; of dropout(), pass training=self.training"
    return f"{_NOISE}; a `seed` does not help: with it, only the first call of each session is the same"


def random_nodes(model: Model, outputs: Sequence[str]) -> Iterator[str]:
    """Yield the operators of a model with a graph view that draw random numbers on the way to ``outputs``, in words.

    Those in branches, loops and functions are found too.
    """
    proto = graph_of(model)
    bodies = {(function.domain, function.name): list(function.node) for function in proto.functions}
    wanted = set(outputs)
    for node in reversed(proto.graph.node):
        if not wanted & set(node.output):
            continue
        wanted |= set(reads(node))
        for inner in _inside(node, bodies, ()):
            yield _named(inner, node)


def _inside(
    node: onnx.NodeProto, bodies: dict[tuple[str, str], list[onnx.NodeProto]], through: tuple[tuple[str, str], ...]
) -> Iterator[onnx.NodeProto]:
    """Yield the random nodes that a node is or holds."""
    key = (node.domain, node.op_type)
    if key in bodies and key not in through:
        for inner in bodies[key]:
            yield from _inside(inner, bodies, (*through, key))
    elif node.op_type in _RANDOM or (node.op_type in _TRAINS and len(node.input) > 2 and node.input[-1]):
        yield node
    for graph in (attribute.g for attribute in node.attribute if attribute.HasField("g")):
        for inner in graph.node:
            yield from _inside(inner, bodies, through)


def _named(node: onnx.NodeProto, outer: onnx.NodeProto) -> str:
    own = f"{node.op_type} ('{node.name}')" if node.name else f"{node.op_type}, which makes '{node.output[0]}'"
    return own if node is outer else f"{own}, in {outer.op_type} '{outer.name or outer.output[0]}'"
