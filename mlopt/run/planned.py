"""A recipe that can work on this machine: what the stages after the plan work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlopt.artifact.signing.signers import Signer
from mlopt.core.hardware import Hardware
from mlopt.passes.base import Pass
from mlopt.recipe.load import Loaded
from mlopt.results.report import Report
from mlopt.run.haste import Haste
from mlopt.run.start import Started
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
    haste: Haste = field(default_factory=Haste)
    shortened: tuple[str, ...] = ()
    """What the recipe says and a run in haste makes shorter, in words."""
