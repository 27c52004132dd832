"""The recipe's limits on quality, asked of one model: the figures themselves, without their intervals.

A gate asks what is certain, a search asks what is nearer: of a few hundred samples most drops are undecided, even that
of a pass that changes nothing. So a limit counts as broken here when its figure lies beyond it. ``mlopt gate`` judges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlopt.gate.limits import Gate, is_stored
from mlopt.measure.evaluate import Evaluator
from mlopt.measure.parity import fidelity
from mlopt.results.figures import Fidelity
from mlopt.results.report import Environment
from mlopt.runtimes.base import Deployable


@dataclass(frozen=True)
class LimitFigure:
    """One limit and the figure of one model."""

    metric: str
    limit: str
    value: float | None
    """None: the outputs are equal, and their SQNR is infinite."""
    holds: bool


def limits(gates: Sequence[Gate], environment: Environment) -> tuple[Gate, ...]:
    """Return the gates that say on this machine what the answers must be worth, by data of this run alone."""
    return tuple(
        gate
        for gate in gates
        if gate.metric in FIGURES
        and not (gate.hardware and gate.hardware.mismatch(environment))
        and not (gate.vs and is_stored(gate.vs))
    )


def figures(gates: Sequence[Gate], evaluator: Evaluator, model: Deployable) -> tuple[LimitFigure, ...]:
    """Ask each limit of a model, on the evaluator's samples; raises ``DataError`` if these do not fit the metric."""
    return tuple(_figure(gate, FIGURES[gate.metric](evaluator, model)) for gate in gates)


def hold(found: Sequence[LimitFigure]) -> bool:
    """Whether every limit is met."""
    return all(figure.holds for figure in found)


def _figure(gate: Gate, value: float) -> LimitFigure:
    least = -math.inf if gate.min is None else gate.min
    most = math.inf if gate.max is None else gate.max
    return LimitFigure(gate.metric, gate.limit, value if math.isfinite(value) else None, least <= value <= most)


def _fidelity(evaluator: Evaluator, model: Deployable) -> Fidelity:
    return fidelity(evaluator.reference, evaluator.outputs(model))


def _sqnr(evaluator: Evaluator, model: Deployable) -> float:
    found = _fidelity(evaluator, model).sqnr_db
    return math.inf if found is None else found


def _matched(evaluator: Evaluator, model: Deployable) -> float:
    found = _fidelity(evaluator, model).matched
    return 1.0 if found is None else found


FIGURES: Mapping[str, Callable[[Evaluator, Deployable], float]] = {
    "accuracy.value": lambda evaluator, model: evaluator.scores(model).value,
    "accuracy.drop_pt": lambda evaluator, model: evaluator.drop(model).pt,
    "fidelity.cosine": lambda evaluator, model: _fidelity(evaluator, model).cosine,
    "fidelity.sqnr_db": _sqnr,
    "fidelity.relative_error": lambda evaluator, model: _fidelity(evaluator, model).relative_error,
    "fidelity.shift": lambda evaluator, model: _fidelity(evaluator, model).shift or 0.0,
    "fidelity.worst_part": lambda evaluator, model: _fidelity(evaluator, model).worst_part or 0.0,
    "fidelity.max_abs": lambda evaluator, model: _fidelity(evaluator, model).max_abs,
    "fidelity.matched": _matched,
}
"""How each gate on quality is read off the outputs of a model."""
