"""What a recipe's gates leave to a lossy pass: the limits on quality, as a ``Budget``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from pathlib import Path
from typing import Any

from mlopt.core.usercode import parse_reference
from mlopt.gate.defaults import OF_SIZE, implied
from mlopt.gate.limits import Gate
from mlopt.results.budget import COSINE, Budget

_AGREEMENT = 0.95


def budget_of(
    gates: Sequence[Gate], metric: str, base: Path, *, args: Mapping[str, Any] | None = None,
    output: str | tuple[str, ...] | None = None,
) -> Budget:  # fmt: skip
    """Read the limits off gates; without a gate, a cosine of 0.99, an error of the size that goes with it, and, for
    agreement, 95 %.

    ``metric``, ``args`` and ``output`` are the recipe's; ``base`` is its directory.
    """
    cosine, value = (_least(gates, name) for name in ("fidelity.cosine", "accuracy.value"))
    cosine = COSINE if cosine is None else cosine
    stated = any(gate.metric in OF_SIZE for gate in gates)
    of_size = gates if stated else implied((Gate(metric="fidelity.cosine", min=cosine),))
    size, sqnr_db = _most(of_size, "fidelity.relative_error"), _least(of_size, "fidelity.sqnr_db")
    allowed = [-20 * log10(size)] if size else []
    allowed += [sqnr_db] if sqnr_db is not None else []
    if value is None and metric in ("agreement", "sequence_agreement"):
        value = _AGREEMENT
    code = parse_reference(metric, base)
    return Budget(
        cosine=cosine,
        sqnr_db=max(allowed, default=None),
        shift=_most(of_size, "fidelity.shift"),
        worst_part=_most(of_size, "fidelity.worst_part"),
        max_abs=_most(gates, "fidelity.max_abs"),
        value=value,
        drop_pt=_most(gates, "accuracy.drop_pt"),
        metric=metric, args=args or {}, output=output, base=base, code=None if code is None else code.digest,
    )  # fmt: skip


def _least(gates: Sequence[Gate], metric: str) -> float | None:
    return max((gate.min for gate in gates if gate.metric == metric and gate.min is not None), default=None)


def _most(gates: Sequence[Gate], metric: str) -> float | None:
    return min((gate.max for gate in gates if gate.metric == metric and gate.max is not None), default=None)
