"""A study as ``study.json`` has it, and what it is about: what its trials depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from mlopt import __version__
from mlopt.core.packages import versions
from mlopt.recipe.load import Loaded
from mlopt.report.study.analysis import front, worth
from mlopt.report.study.importance import importance
from mlopt.results.environment import environment
from mlopt.results.section import Interval
from mlopt.results.study import Ended, SearchParameter, StudyRecord, TrialRecord
from mlopt.run.request import Request
from mlopt.run.stages import Prepared
from mlopt.runtimes.table import runtime_named
from mlopt.tune.space import Space


@dataclass(frozen=True)
class SpaceOutlook:
    """What would be searched."""

    parameters: tuple[SearchParameter, ...]
    points: int | None
    """How many there are; None if they were not counted."""
    first: tuple[tuple[dict[str, JsonValue], str], ...]
    """What would be tried first, each with who proposes it."""


def about(prepared: Prepared, runtimes: Sequence[str], request: Request, only: Sequence[str]) -> dict[str, str]:
    """Return what the trials of a study depend on; one whose trials depend on something else is another study."""
    packages = [package for name in runtimes for package in runtime_named(name).packages]
    data = {f"data.{role}": each.digest for role, each in prepared.data.items()}
    planned = prepared.planned
    return {
        "recipe": recipe_digest(planned.loaded, request), "model": prepared.source.digest, **data,
        "machine": f"{planned.hardware.cpu}, {planned.hardware.cores} cores", "mlopt": __version__,
        "runtime": json.dumps(versions(tuple(packages)), sort_keys=True), "choice of parameters": ",".join(only),
    }  # fmt: skip


def recipe_digest(loaded: Loaded, request: Request) -> str:
    """Return the SHA-256 of a recipe's text and of what was asked beside it."""
    text = json.dumps([loaded.text, *request.overrides])
    return hashlib.sha256(text.encode()).hexdigest()


def study(
    loaded: Loaded, space: Space, request: Request, trials: Sequence[TrialRecord], *, best: int | None,
    budget: float | None, seed: int, final: tuple[float | None, Interval | None], ended: Ended,
) -> StudyRecord:  # fmt: skip
    """Return a study with what its trials come to; ``final`` is the speedup of the last race, with its interval."""
    return StudyRecord(
        name=loaded.recipe.name, recipe_digest=recipe_digest(loaded, request),
        objective=loaded.recipe.objective.value, budget_s=budget, seed=seed,
        environment=environment(space.hardware), space=space.parameters, points=space.count(),
        trials=tuple(sorted(trials, key=lambda each: each.number)), front=front(trials), best=best,
        final_speedup=final[0], final_ci95=final[1], importance=importance(trials, space.parameters),
        worth=worth(trials, best), ended=ended,
    )  # fmt: skip
