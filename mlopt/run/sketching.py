"""Sketches of the evaluation data and of what the shipped model answers to it, for whoever watches it in service."""

from __future__ import annotations

from dataclasses import dataclass

from mlopt.core.errors import MloptError
from mlopt.core.foreign_text import plain
from mlopt.core.packages import install_command
from mlopt.measure.evaluate import Evaluator
from mlopt.runtimes.base import Deployable
from mlopt.sketches import Sketcher, installed, plan_of, write

_ROWS_AT_ONCE = 512
_MOST_ROWS = 100_000


@dataclass(frozen=True)
class Sketched:
    """The document, or in words why there is none."""

    document: bytes | None
    why_not: str | None = None


NOT_SKETCHED = Sketched(None)


def sketched(shipped: Deployable, evaluator: Evaluator) -> Sketched:
    """Sketch the evaluation samples, at most the first 100,000, and the shipped model's outputs on them.

    Nothing fails for it: an artifact without sketches is whole, and only cannot be monitored.
    """
    if not installed():
        return Sketched(None, f"not sketched, so `mlopt monitor` needs a reference: {install_command('monitor')}")
    try:
        return Sketched(_document(shipped, evaluator))
    except MloptError as error:
        return Sketched(None, plain(f"not sketched, so `mlopt monitor` needs a reference: {error.brief}"))


def _document(shipped: Deployable, evaluator: Evaluator) -> bytes:
    inputs, outputs = evaluator.dataset.inputs, evaluator.outputs(shipped)
    plan = plan_of(shipped.model.inputs, shipped.model.outputs, {"input": inputs, "output": outputs})
    sketcher = Sketcher(plan)
    for start in range(0, min(evaluator.dataset.count, _MOST_ROWS), _ROWS_AT_ONCE):
        block = slice(start, min(start + _ROWS_AT_ONCE, _MOST_ROWS))
        sketcher.add(*({name: array[block] for name, array in arrays.items()} for arrays in (inputs, outputs)))
    return write(sketcher.document())
