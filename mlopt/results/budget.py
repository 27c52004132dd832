"""How much a lossy pass may lose, as plain figures, so that a pass which searches can stop where the gates would.

A search judges on calibration samples that it holds back (without any, the evaluation must do). Of the error that a
limit on cosine or SQNR allows it spends only a part (``SHARE``), and a mean cosine must clear its limit by its own
sampling error: what just meets a limit here misses it half the time on other samples. Hits and misses of a metric are
too few to keep a margin by: there, the limit is the gate's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COSINE = 0.99
"""The least cosine similarity where nobody says otherwise."""
SHARE = 0.9


@dataclass(frozen=True)
class Budget:
    """The limits of a recipe's gates on quality, and the metric that they are about."""

    cosine: float = COSINE
    """The least mean cosine similarity to the model that the pass was given."""
    sqnr_db: float | None = None
    """The least signal to noise of the outputs against that model, in decibels."""
    shift: float | None = None
    """The most of their error that a change of scale and an offset may explain, relative to the outputs."""
    worst_part: float | None = None
    """How wrong one channel or sample may be."""
    max_abs: float | None = None
    """The most by which any value may differ."""
    value: float | None = None
    """The least value of the metric."""
    drop_pt: float | None = None
    """The most that the metric may lose, in points."""
    metric: str = "fidelity"
    args: Mapping[str, Any] = field(default_factory=dict)
    output: str | tuple[str, ...] | None = None
    base: Path = Path()
    """The recipe's directory, which a metric in a file is relative to."""
    code: str | None = None
    """The digest of a metric in a file."""

    @property
    def parts(self) -> dict[str, Any]:
        """What a result depends on that was chosen under this budget."""
        return {
            "cosine": self.cosine, "sqnr_db": self.sqnr_db, "max_abs": self.max_abs,
            "shift": self.shift, "worst_part": self.worst_part,
            "value": self.value, "drop_pt": self.drop_pt,
            "metric": self.metric, "args": dict(self.args), "output": self.output, "code": self.code,
        }  # fmt: skip
