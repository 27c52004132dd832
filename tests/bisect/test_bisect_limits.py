"""What the recipe's limits say of one model, without intervals."""

from __future__ import annotations

from mlopt.bisect.limits import FIGURES
from mlopt.gate.vocabulary import METRICS


def test_every_gate_on_quality_has_its_figure() -> None:
    assert set(FIGURES) == {name for name in METRICS if name.startswith(("accuracy.", "fidelity."))}
