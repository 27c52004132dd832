"""What a recipe's gates let a lossy pass lose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlopt.gate.allowance import budget_of
from mlopt.gate.limits import Gate


def budget(metric: str, *gates: dict[str, Any]) -> tuple[float, float | None, float | None]:
    found = budget_of([Gate(**gate) for gate in gates], metric, Path())
    return found.cosine, found.value, found.drop_pt


def test_without_gates() -> None:
    assert budget("fidelity") == (0.99, None, None)
    assert budget("accuracy") == (0.99, None, None)
    assert budget("agreement") == (0.99, 0.95, None)


def test_the_strictest_gate_counts() -> None:
    gates = (
        {"metric": "fidelity.cosine", "min": 0.9}, {"metric": "fidelity.cosine", "min": 0.95},
        {"metric": "accuracy.value", "min": 0.8}, {"metric": "accuracy.value", "min": 0.7},
        {"metric": "accuracy.drop_pt", "max": 2.0}, {"metric": "accuracy.drop_pt", "max": 0.5},
        {"metric": "latency.p95_ms", "max": 9},
    )  # fmt: skip
    assert budget("accuracy", *gates) == (0.95, 0.8, 0.5)


def test_a_limit_of_zero_is_a_limit() -> None:
    gates = ({"metric": "fidelity.cosine", "min": 0.0}, {"metric": "accuracy.value", "min": 0.0})
    assert budget("agreement", *gates) == (0.0, 0.0, None)


def test_the_code_of_a_metric_counts(tmp_path: Path) -> None:
    found = []
    for text in ("def m(*_): return 1\n", "def m(*_): return 2\n"):
        (tmp_path / "metric.py").write_text(text)
        found.append(budget_of([], "./metric.py:m", tmp_path).parts["code"])
    assert found[0] != found[1]


def test_limits_on_the_error_count() -> None:
    gates = [
        Gate(metric="fidelity.sqnr_db", min=20), Gate(metric="fidelity.sqnr_db", min=30),
        Gate(metric="fidelity.max_abs", max=0.5), Gate(metric="fidelity.max_abs", max=0.1),
    ]  # fmt: skip
    found = budget_of(gates, "fidelity", Path())
    assert (found.cosine, found.sqnr_db, found.max_abs) == (0.99, 30, 0.1)


def test_a_limit_on_the_cosine_limits_the_size_too() -> None:
    found = budget_of([Gate(metric="fidelity.cosine", min=0.95)], "fidelity", Path())
    assert (found.sqnr_db, found.shift, found.worst_part) == (pytest.approx(9.499, abs=1e-3), 0.1, 0.95)


def test_who_limits_the_size_has_the_last_word() -> None:
    gates = [Gate(metric="fidelity.cosine", min=0.99), Gate(metric="fidelity.relative_error", max=0.5)]
    found = budget_of(gates, "fidelity", Path())
    assert (found.sqnr_db, found.shift, found.worst_part) == (pytest.approx(6.02, abs=1e-2), None, None)
