"""What the stages of ``mlopt optimize`` hand on to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlopt.artifact.signing.signers import Signer
from mlopt.core.hardware import Hardware
from mlopt.data.dataset import Dataset
from mlopt.formats.model import Model
from mlopt.measure.evaluate import Evaluator
from mlopt.passes.base import Pass
from mlopt.recipe.load import Loaded
from mlopt.results.report import Report
from mlopt.run.quality import QualityGates
from mlopt.run.start import Started
from mlopt.run.step import Job
from mlopt.runtimes.base import RuntimeOptions


@dataclass(frozen=True)
class Planned:
    """A recipe that can work on this machine."""

    started: Started
    loaded: Loaded
    passes: Mapping[str, Pass[Any]]
    hardware: Hardware
    options: RuntimeOptions
    output: Path
    signer: Signer | None
    baselines: Mapping[str, Report]
    notes: tuple[str, ...]
    code: Mapping[str, str]
    """Digests of the Python that the user agreed to run."""


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

    @property
    def data(self) -> Mapping[str, Dataset]:
        """Every data set by its role."""
        return {"evaluation": self.evaluation, **self.fitted}
