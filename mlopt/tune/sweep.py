"""A fleet of recipes, tuned one after the other: one that fails takes nothing from the others."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlopt.core.errors import MloptError, RecipeError
from mlopt.tune.asked import Asked, StudyResult


@dataclass(frozen=True)
class Tuning:
    """What became of one recipe."""

    recipe: Path
    tuned: StudyResult | None = None
    error: MloptError | None = None

    @property
    def told(self) -> str:
        """What to say of it, in a line."""
        if self.tuned is None:
            return self.error.brief if self.error is not None else ""
        report = self.tuned.artifact.report
        low, high = report.speedup.ci95
        speed = f"{report.speedup.median:.2f}x ({low:.2f} to {high:.2f}) against {report.speedup.vs}"
        return f"{report.verdict}, {speed}: {self.tuned.artifact.path}"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        tuned = self.tuned
        return {
            "recipe": str(self.recipe), "exit_code": self.exit_code, "error": self.error.brief if self.error else None,
            "artifact": str(tuned.artifact.path) if tuned else None, "study": str(tuned.folder) if tuned else None,
            "verdict": tuned.artifact.report.verdict if tuned else None,
            "speedup": tuned.artifact.report.speedup.model_dump(mode="json") if tuned else None,
        }  # fmt: skip

    @property
    def exit_code(self) -> int:
        """The code that ``mlopt tune`` of this recipe alone would end with."""
        if self.tuned is not None:
            return self.tuned.artifact.exit_code
        return int(self.error.exit_code) if self.error is not None else 0


def recipes(pattern: str) -> list[Path]:
    """Return the files that a pattern such as ``recipes/*.yaml`` names, in order; raises ``RecipeError`` for none."""
    found = sorted(Path(name) for name in glob.glob(pattern, recursive=True) if Path(name).is_file())  # noqa: PTH207
    if not found:
        raise RecipeError(
            "no recipe is of this pattern", where=pattern, expected="a pattern such as 'recipes/*.yaml', in quotes",
            fix="check the folder: the pattern starts from where the command runs",
        )  # fmt: skip
    return found


def sweep(asked: Asked, paths: Sequence[Path], tune: Callable[[Asked], StudyResult]) -> Iterator[Tuning]:
    """Tune each recipe as ``asked``, with a budget of its own, and yield what became of it."""
    for path in paths:
        request = replace(asked.request, source=path, output=None)
        try:
            yield Tuning(path, tune(replace(asked, request=request, folder=None)))
        except MloptError as error:
            yield Tuning(path, error=error)
