"""What a recipe lets a lossy pass lose, so that a pass which searches can stop where the gates would.

The search judges on calibration samples that it holds back (without any, the evaluation must do). Of the error that a
limit on cosine or SQNR allows it spends only a part (``SHARE``), and a mean cosine must clear its limit by its own
sampling error: what just meets a limit here misses it half the time on other samples. Hits and misses of a metric are
too few to keep a margin by: there, the limit is the gate's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.gate import Gate
from mlopt.gate.defaults import COSINE, OF_SIZE, implied
from mlopt.usercode import parse_reference

if TYPE_CHECKING:
    from mlopt.recipe.schema import Recipe

SHARE = 0.9
_AGREEMENT = 0.95


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

    @property
    def parts(self) -> dict[str, Any]:
        """What a result depends on that was chosen under this budget; the code of a metric in a file is part of it."""
        code = parse_reference(self.metric, self.base)
        return {
            "cosine": self.cosine, "sqnr_db": self.sqnr_db, "max_abs": self.max_abs,
            "shift": self.shift, "worst_part": self.worst_part,
            "value": self.value, "drop_pt": self.drop_pt,
            "metric": self.metric, "args": dict(self.args), "output": self.output, "code": code and code.digest,
        }  # fmt: skip


def budget_of(recipe: Recipe, base: Path) -> Budget:
    """Read the limits off a recipe's gates; without a gate, a cosine of 0.99, an error of the size that
    goes with it, and, for agreement, 95 %."""
    metric = recipe.metric
    cosine, value = (_least(recipe.gates, name) for name in ("fidelity.cosine", "accuracy.value"))
    cosine = COSINE if cosine is None else cosine
    stated = any(gate.metric in OF_SIZE for gate in recipe.gates)
    gates = recipe.gates if stated else implied((Gate(metric="fidelity.cosine", min=cosine),))
    size, sqnr_db = _most(gates, "fidelity.relative_error"), _least(gates, "fidelity.sqnr_db")
    allowed = [-20 * log10(size)] if size else []
    allowed += [sqnr_db] if sqnr_db is not None else []
    if value is None and metric.name in ("agreement", "sequence_agreement"):
        value = _AGREEMENT
    return Budget(
        cosine=cosine,
        sqnr_db=max(allowed, default=None),
        shift=_most(gates, "fidelity.shift"),
        worst_part=_most(gates, "fidelity.worst_part"),
        max_abs=_most(recipe.gates, "fidelity.max_abs"),
        value=value,
        drop_pt=_most(recipe.gates, "accuracy.drop_pt"),
        metric=metric.name, args=metric.args, output=metric.output, base=base,
    )  # fmt: skip


def _least(gates: Sequence[Gate], metric: str) -> float | None:
    return max((gate.min for gate in gates if gate.metric == metric and gate.min is not None), default=None)


def _most(gates: Sequence[Gate], metric: str) -> float | None:
    return min((gate.max for gate in gates if gate.metric == metric and gate.max is not None), default=None)
