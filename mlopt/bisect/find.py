"""Which pass broke a limit on quality, which of its nodes are to blame, and the exclusion that mends the recipe.

The chain runs as in ``mlopt optimize``, through the same cache and workers, but without the guard: what an optional
step wrote is looked at, whether or not it would be kept, and nothing is timed. Nodes are suspected by one comparison of
the guilty pass's input and output, and convicted by running the pass again with nodes excluded. That is decided on
calibration samples where these can decide it, and confirmed on the evaluation samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlopt.bisect.edit import KEY
from mlopt.bisect.finding import Finding, StepFigures
from mlopt.bisect.limits import figures, hold, limits
from mlopt.bisect.trials import Trials, choose
from mlopt.core.errors import GateError
from mlopt.gate.limits import Gate
from mlopt.recipe.gates import gates as gates_of
from mlopt.results.environment import environment
from mlopt.run import loop
from mlopt.run.optimize import planned_for, ready
from mlopt.run.outcomes import Outcome
from mlopt.run.request import Request
from mlopt.run.stages import Prepared
from mlopt.run.step import begin
from mlopt.run.timeline import Notify


def bisect(request: Request, notify: Notify) -> Finding:
    """Find the pass and the nodes that break a limit on accuracy or fidelity of the recipe ``request.source``.

    Raises ``GateError`` if the recipe has no such limit, and what running its passes raises.
    """
    with planned_for(request) as planned:
        stated = [
            gate for gate in gates_of(planned.loaded.recipe) if gate.metric.startswith(("accuracy.", "fidelity."))
        ]
        gates = limits(stated, environment(planned.hardware))
        if not gates:
            raise GateError(
                "no gate limits accuracy or fidelity on this machine", where=str(request.source),
                fix="add one to the recipe, such as {metric: fidelity.cosine, min: 0.99}",
            )  # fmt: skip
        left = tuple(
            f"left out, for it is about another run or machine: {gate.metric} {gate.limit}"
            for gate in stated
            if gate not in gates
        )
        return _find(ready(replace(planned, started=replace(planned.started, notify=notify))), gates, left)


def _find(prepared: Prepared, gates: Sequence[Gate], left: tuple[str, ...]) -> Finding:
    recipe = prepared.planned.loaded.recipe

    def notify(step: str) -> None:
        prepared.planned.started.notify(f"pass {step}", "", None)

    start = begin(prepared.source, prepared.job)
    outcomes = list(loop.run(start, recipe.passes, prepared.job, None, notify))
    chain = _chain(prepared, gates, outcomes)
    broken = next((place for place, each in enumerate(chain) if not hold(each.figures)), None)
    finding = Finding(chain, prepared.evaluation.count, broken, notes=left)
    if broken is None:
        return finding
    if broken == 0:
        return replace(finding, advice="the source model itself is beyond the limit, and no pass is to blame")
    number = broken - 1
    if KEY not in type(recipe.passes[number].config).model_fields:
        return replace(finding, advice=_leave_out(prepared, number))
    kept = (each.kept for each in outcomes[:number])
    made = [start, *(each for each in kept if each is not None)]
    trials, notes = Trials.of(prepared, gates, number, made[-1], outcomes[number]), [*left]
    chosen = choose(trials, notes)
    advice = None if chosen is not None else _leave_out(prepared, number)
    return replace(finding, chosen=chosen, trials=len(trials.done), advice=advice, notes=tuple(notes))


def _chain(prepared: Prepared, gates: Sequence[Gate], outcomes: Sequence[Outcome]) -> tuple[StepFigures, ...]:
    prepared.planned.started.notify("limits", "every model of the chain on the evaluation samples", None)
    rows = [StepFigures("source", "given", figures(gates, prepared.evaluator, prepared.evaluator.source))]
    for each in outcomes:
        if each.deployable is None:
            rows.append(StepFigures(each.step.name, each.status, (), each.reason))
        else:
            rows.append(StepFigures(each.step.name, each.status, figures(gates, prepared.evaluator, each.deployable)))
    return tuple(rows)


def _leave_out(prepared: Prepared, number: int) -> str:
    """Say how to do without a pass."""
    step = prepared.planned.loaded.recipe.passes[number]
    if step.optional and prepared.job.passes[step.name].lossy:
        return f"nothing need be done: '{step.name}' is optional, and `mlopt optimize` drops it"
    guarded = " or mark it `optional: true`, and it is dropped" if prepared.job.passes[step.name].lossy else ""
    return f"leave '{step.name}' out of the passes{',' if guarded else ''}{guarded}"
