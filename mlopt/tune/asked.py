"""What a study is asked, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlopt.results.study import StudyRecord
from mlopt.run.packaging import Artifact
from mlopt.run.request import Request

SUFFIX = ".study"


@dataclass(frozen=True)
class Asked:
    """What a user asks of a study; ``request`` is what an ordinary run of the recipe would be asked."""

    request: Request
    folder: Path | None = None
    """Of the study; None: beside the artifact."""
    budget: float | None = None
    """Seconds for all runs of the study together, the last race and the artifact included."""
    trials: int | None = None
    """The most trials."""
    only: tuple[str, ...] = ()
    """Names, or beginnings of names, of the parameters that vary; all, if there are none."""
    exhaustive: bool = False
    """Whether every point is tried, in order, whatever comes of it."""
    seed: int = 0

    def at(self, name: str) -> Path:
        """Return the folder of the study of a recipe."""
        output = self.request.output or self.request.folder / name
        return self.folder or output.with_name(f"{output.name}{SUFFIX}")


@dataclass(frozen=True)
class StudyResult:
    """What a study came to."""

    artifact: Artifact
    study: StudyRecord
    recipe: str
    """The text of the recipe that made the artifact."""
    folder: Path
