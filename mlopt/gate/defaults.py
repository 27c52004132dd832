"""The limits that hold where a recipe does not say: beside the direction of the outputs, the size of their error.

``docs/gates.md`` has the reasons for the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlopt.gate.limits import Gate
from mlopt.results.budget import COSINE

_ROOM = 1.06  # for samples of different loudness: 0.1414 becomes 0.15
_SHIFT, _USELESS = 0.08, 0.95
OF_SIZE = ("fidelity.sqnr_db", "fidelity.relative_error", "fidelity.max_abs", "fidelity.shift", "fidelity.worst_part")
"""The gates that limit the size of an error: whoever states one of them has the others as he states them."""


@dataclass(frozen=True)
class Size:
    """How large an error may be, relative to the outputs; see ``Fidelity``."""

    relative_error: float
    shift: float
    worst_part: float


def of_size(cosine: float = COSINE) -> Size:
    """Return how large the error may be where the cosine may be as low as ``cosine``.

    An error without direction that leaves a cosine of c is sqrt(2 (1 - c)) of the outputs; it may shrink them by as
    much as 1 - c squared.
    """
    lost = max(1 - cosine, 0.0)
    relative = _ROOM * math.sqrt(2 * lost)
    return Size(round(relative, 3) or 1e-3, max(_SHIFT, round(2 * lost, 3)), _USELESS)


def implied(gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """Return the limits on size that a limit on the cosine alone brings along; none if the size is limited already."""
    of_cosine = [gate for gate in gates if gate.metric == "fidelity.cosine" and gate.min is not None]
    if not of_cosine or any(gate.metric in OF_SIZE for gate in gates):
        return ()
    strictest = max(of_cosine, key=lambda gate: gate.bound)
    size = of_size(strictest.bound)
    return tuple(
        Gate(metric=f"fidelity.{name}", max=getattr(size, name), hardware=strictest.hardware)
        for name in ("relative_error", "shift", "worst_part")
    )
