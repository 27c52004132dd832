"""What a bisection found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from mlopt.bisect.edit import Edited
from mlopt.bisect.limits import LimitFigure, hold
from mlopt.bisect.suspects import Suspect


@dataclass(frozen=True)
class StepFigures:
    """What the model was worth after one step of the chain, on the evaluation samples."""

    step: str
    """The pass, or ``source``."""
    status: str
    """As in the report; ``given`` for the source."""
    figures: tuple[LimitFigure, ...]
    """Empty if the step wrote no model."""
    reason: str | None = None
    """Why it wrote none."""


@dataclass(frozen=True)
class Chosen:
    """A set of nodes whose exclusion is enough on the samples that chose it."""

    nodes: tuple[Suspect, ...]
    """The most suspected first."""
    by: str
    """The samples that chose: ``calibration`` or ``evaluation``."""
    samples: int
    before: tuple[LimitFigure, ...]
    """What the pass's output is worth on these samples,"""
    after: tuple[LimitFigure, ...]
    """and what it is worth with the nodes excluded."""
    result: tuple[LimitFigure, ...]
    """On the evaluation samples, at the end of the whole chain."""
    edited: Edited


@dataclass(frozen=True)
class Finding:
    """What was found out."""

    chain: tuple[StepFigures, ...]
    samples: int
    """How many evaluation samples the figures of the chain rest on."""
    broken_by: int | None = None
    """The first step after which a limit is broken: its place in ``chain`` (0 is the source); None if there is none."""
    chosen: Chosen | None = None
    trials: int = 0
    """How often the pass ran again."""
    advice: str | None = None
    """What to do where no exclusion is enough."""
    notes: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        """Whether the recipe, or the recipe with the exclusion, meets its limits."""
        return self.broken_by is None or (self.chosen is not None and hold(self.chosen.result))
