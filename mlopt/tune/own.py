"""What the recipe comes to by itself, as ``mlopt optimize`` would ship it: what every trial is held against."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import JsonValue

from mlopt.core.errors import MeasureError
from mlopt.measure.schedule import Schedule
from mlopt.passes.table import table
from mlopt.recipe.sources import load_source
from mlopt.results.study import TrialRecord
from mlopt.run import optimize
from mlopt.run.outcomes import Outcome
from mlopt.run.request import Request
from mlopt.runtimes.base import Deployable
from mlopt.tune.laboratory import RecipeLaboratory
from mlopt.tune.space import RUNTIME

ORIGIN = "recipe"
_SEARCHES = 0.25
"""The share of a budget that a pass's own search may take, in each runtime."""
_SECONDS, _ROUNDS, _LEAST = 1.0, 10, 20
_NAME = "own"


@dataclass(frozen=True)
class Own:
    """What the recipe came to."""

    deployable: Deployable
    point: dict[str, JsonValue]
    """The point of the space that is nearest: a result that was made for one runtime may be shipped in another."""
    seconds: float


def within(request: Request, budget: float | None) -> Request:
    """Return the request with the searches of its passes bounded, where they may take more than their share."""
    if budget is None:
        return request
    recipe = load_source(request.source, request.data, passes=table(), overrides=request.overrides).recipe
    limit = round(_SEARCHES * budget, 1)
    long = [
        number for number, step in enumerate(recipe.passes)
        if step.config.searches and step.config.within(limit) != step.config
    ]  # fmt: skip
    return replace(request, overrides=(*request.overrides, *(f"passes.{each}.seconds={limit:g}" for each in long)))


def found(laboratory: RecipeLaboratory) -> Own:
    """Run the recipe's chain in each of its runtimes, and choose, as a run of the recipe does."""
    began = time.monotonic()
    came = optimize.transform(laboratory.prepared)
    chosen = optimize.choose(laboratory.prepared, came)
    final = chosen.final
    return Own(final, _nearest(laboratory, final.runtime, chosen.outcomes), time.monotonic() - began)


def told(laboratory: RecipeLaboratory, own: Own, number: int, began: float) -> TrialRecord:
    """Measure it, and return it as a trial; ``began`` is when the study did, in seconds since the epoch.

    Raises ``MeasureError`` if it cannot be measured: then there is nothing to hold trials against.
    """
    one, quality = own.deployable, laboratory.prepared.quality
    judged = quality.of(one)
    objection = judged.objection or quality.too_large(one, laboratory.baseline)
    most = laboratory.prepared.planned.loaded.recipe.measure.max_time
    run = laboratory.raced({_NAME: one}, Schedule(_SECONDS, _ROUNDS, most, looks=1, least=_LEAST))
    figures = laboratory.figures(run)[_NAME]
    if "lost" in figures:
        raise MeasureError("what the recipe came to could not be measured", got=figures["lost"])
    return TrialRecord.model_validate({
        "number": number, "params": own.point, "origin": ORIGIN, "status": "measured", "rung": 2,
        "began_s": round(max(0.0, time.time() - began - own.seconds), 2), "seconds": round(own.seconds, 2),
        "node": laboratory.node, "digest": one.model.digest, "runtime": one.runtime,
        "options": one.options.model_dump(mode="json"), "size_bytes": one.model.size_bytes,
        "accuracy": judged.accuracy, "fidelity": judged.fidelity, "valid": objection is None, "why_not": objection,
        "cause": objection, **figures,
    })  # fmt: skip


def _nearest(laboratory: RecipeLaboratory, runtime: str, outcomes: Sequence[Outcome]) -> dict[str, JsonValue]:
    """Return the recipe's chain without the steps that it did not keep, in the runtime that it chose."""
    kept = [each.kept is not None for each in outcomes]
    own = [slot for slot in laboratory.space.slots if slot.own]
    steps = laboratory.prepared.planned.loaded.recipe.passes
    there = {id(step.config): stays for step, stays in zip(steps, kept, strict=True)}
    point: dict[str, JsonValue] = {RUNTIME: runtime}
    point |= {slot.name: there[id(slot.step.config)] for slot in own if slot.free}
    return laboratory.space.completed(point)
