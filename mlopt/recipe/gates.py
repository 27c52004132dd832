"""Which gates a recipe is held to: those that it states, and those that go without saying."""

from __future__ import annotations

from collections.abc import Collection

from mlopt.core.errors import RecipeError
from mlopt.core.target import Objective
from mlopt.gate.defaults import implied
from mlopt.gate.limits import Gate
from mlopt.gate.vocabulary import SERVING
from mlopt.recipe.schema import Recipe
from mlopt.results.roles import BASELINE, SOURCE


def gates(recipe: Recipe) -> tuple[Gate, ...]:
    """Return the recipe's gates and, unless it says otherwise, those that always hold.

    A limit on the cosine, which is blind to size, brings limits on size along. And the result is not slower than the
    baseline: two equally fast models straddle 1.0 for ever, so an undecided comparison passes; only a measured loss
    fails. Where a step writes for a runtime that is not measured here, that one does not hold.
    """
    stated_or_implied = (*recipe.gates, *implied(recipe.gates))
    stated = any(gate.metric == "speedup.median" and gate.vs in {None, BASELINE} for gate in recipe.gates)
    if stated or recipe.objective is Objective.SIZE or any(step.config.foreign for step in recipe.passes):
        return stated_or_implied
    return (*stated_or_implied, Gate(metric="speedup.median", min=1.0, vs=BASELINE, on_inconclusive="pass"))


def check_answerable(recipe: Recipe, source: str, stored: Collection[str]) -> None:
    """Raise ``RecipeError`` for a gate that a run will not be able to answer, or a reference that it will not have.

    ``source`` is the label of the source model; ``stored`` names other reports.
    """
    if recipe.references and source != SOURCE:
        raise RecipeError(
            "a model that is never run by PyTorch has no such reference", where="references",
            got=", ".join(recipe.references), expected="a PyTorch source", fix="remove `references`",
        )  # fmt: skip
    for gate in recipe.gates:
        if gate.metric.startswith(SERVING):
            raise RecipeError(
                f"the gate on {gate.metric} is about a server under load, and a recipe's run starts none",
                where="gates", fix="leave it out, and judge the server: mlopt loadtest URL --gate LIMIT",
            )  # fmt: skip
        drop = gate.metric == "accuracy.drop_pt" and gate.vs not in {None, source, *stored}
        if drop or (gate.vs == SOURCE and source != SOURCE):
            raise RecipeError(
                f"the gate on {gate.metric} compares with '{gate.vs}', which this run has not", where="gates",
                expected=source, fix=f"vs: {source}, or leave `vs` out",
            )  # fmt: skip
