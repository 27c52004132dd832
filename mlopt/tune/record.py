"""A study as ``study.json`` has it, and what it is about: what its trials depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from mlopt import __version__
from mlopt.core.packages import versions
from mlopt.report.study import analysis
from mlopt.report.study.importance import importance
from mlopt.results.report import Environment
from mlopt.results.study import Ended, SearchParameter, StudyRecord, TrialRecord
from mlopt.run.request import Request
from mlopt.runtimes.table import runtime_named
from mlopt.tune.finish import Final
from mlopt.tune.laboratory import RecipeLaboratory


@dataclass(frozen=True)
class SpaceOutlook:
    """What would be searched."""

    parameters: tuple[SearchParameter, ...]
    points: int | None
    """How many there are; None if they were not counted."""
    first: tuple[tuple[dict[str, JsonValue], str], ...]
    """What would be tried first, each with who proposes it."""


def about(laboratory: RecipeLaboratory, request: Request, only: Sequence[str]) -> dict[str, str]:
    """Return what the trials of a study depend on; one whose trials depend on something else is another study."""
    prepared = laboratory.prepared
    packages = [package for name in laboratory.runtimes for package in runtime_named(name).packages]
    data = {f"data.{role}": each.digest for role, each in prepared.data.items()}
    planned = prepared.planned
    return {
        "recipe": recipe_digest(laboratory, request), "model": prepared.source.digest, **data,
        "machine": f"{planned.hardware.cpu}, {planned.hardware.cores} cores", "mlopt": __version__,
        "runtime": json.dumps(versions(tuple(packages)), sort_keys=True), "choice of parameters": ",".join(only),
    }  # fmt: skip


def recipe_digest(laboratory: RecipeLaboratory, request: Request) -> str:
    """Return the SHA-256 of a recipe's text and of what was asked beside it."""
    text = json.dumps([laboratory.prepared.planned.loaded.text, *request.overrides])
    return hashlib.sha256(text.encode()).hexdigest()


def study(
    laboratory: RecipeLaboratory, request: Request, trials: Sequence[TrialRecord], *, best: TrialRecord | None,
    final: Final, budget: float | None, seed: int, environment: Environment, ended: Ended,
) -> StudyRecord:  # fmt: skip
    """Return a study with what its trials come to."""
    space, recipe = laboratory.space, laboratory.prepared.planned.loaded.recipe
    number = best.number if best is not None else None
    return StudyRecord(
        name=recipe.name, recipe_digest=recipe_digest(laboratory, request), objective=recipe.objective.value,
        budget_s=budget, seed=seed, environment=environment, space=space.parameters, points=space.count(),
        trials=tuple(sorted(trials, key=lambda each: each.number)), front=analysis.front(trials), best=number,
        final_speedup=final.speedup, final_ci95=final.ci95, importance=importance(trials, space.parameters),
        worth=analysis.worth(trials, number), ended=ended,
    )  # fmt: skip
