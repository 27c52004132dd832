"""What the recipe comes to by itself, as ``mlopt optimize`` would ship it: what every trial is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import JsonValue

from mlopt.passes.table import table
from mlopt.recipe.schema import Recipe
from mlopt.recipe.sources import load_source
from mlopt.results.study import TrialRecord
from mlopt.run.choice import Choice
from mlopt.run.request import Request
from mlopt.runtimes.base import Deployable
from mlopt.tune.space import RUNTIME, Space

ORIGIN = "recipe"
_SEARCHES = 0.25
"""The share of a budget that a pass's own search may take, in each runtime."""


@dataclass(frozen=True)
class OwnResult:
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


def result(space: Space, recipe: Recipe, chosen: Choice, seconds: float) -> OwnResult:
    """Return what a run of the recipe would ship, which took so long to find."""
    return OwnResult(chosen.final, _nearest(space, recipe, chosen), seconds)


def told(own: OwnResult, measured: Mapping[str, Any], number: int, began_s: float, node: str) -> TrialRecord:
    """Return it as a trial, with what was ``measured`` of it (``RecipeLaboratory.measured``)."""
    one, objection = own.deployable, measured["why_not"]
    return TrialRecord.model_validate({
        **measured, "number": number, "params": own.point, "origin": ORIGIN, "status": "measured", "rung": 2,
        "began_s": round(began_s, 2), "seconds": round(own.seconds, 2), "node": node, "digest": one.model.digest,
        "runtime": one.runtime, "options": one.options.model_dump(mode="json"), "size_bytes": one.model.size_bytes,
        "valid": objection is None, "cause": objection,
    })  # fmt: skip


def _nearest(space: Space, recipe: Recipe, chosen: Choice) -> dict[str, JsonValue]:
    """Return the recipe's chain without the steps that it did not keep, in the runtime that it chose."""
    stays = {id(step.config): each.kept is not None for step, each in zip(recipe.passes, chosen.outcomes, strict=True)}
    point: dict[str, JsonValue] = {RUNTIME: chosen.final.runtime}
    point |= {slot.name: stays[id(slot.step.config)] for slot in space.slots if slot.own and slot.free}
    return space.completed(point)
