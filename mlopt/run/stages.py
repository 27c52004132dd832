"""What the stages of ``mlopt optimize`` hand on to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlopt.data.dataset import Dataset
from mlopt.formats.model import Model
from mlopt.measure.evaluate import Evaluator
from mlopt.run.planned import Planned
from mlopt.run.quality import QualityGates
from mlopt.run.step import Job


@dataclass(frozen=True)
class Prepared:
    """The source model and the data."""

    planned: Planned
    source: Model
    evaluation: Dataset
    fitted: Mapping[str, Dataset]
    """What passes calibrate and train on, by its role."""
    evaluator: Evaluator
    quality: QualityGates
    job: Job
    notes: tuple[str, ...]
    source_notes: Mapping[str, Any] = field(default_factory=dict)
    """Of how the source came to be."""

    @property
    def data(self) -> Mapping[str, Dataset]:
        """Every data set by its role."""
        return {"evaluation": self.evaluation, **self.fitted}
