"""How much a lossy pass may lose: what its result depends on, as JSON."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from mlopt.gate.allowance import budget_of
from mlopt.results.budget import Budget


def test_what_a_result_depends_on_is_json() -> None:
    parts = budget_of([], "agreement", Path("/somewhere")).parts
    assert parts == {
        "cosine": 0.99,
        "sqnr_db": pytest.approx(16.478, abs=1e-3),
        "shift": 0.08,
        "worst_part": 0.95,
        "max_abs": None,
        "value": 0.95,
        "drop_pt": None,
        "metric": "agreement",
        "args": {},
        "output": None,
        "code": None,
    }


def test_every_limit_changes_what_a_result_depends_on_and_the_folder_does_not() -> None:
    other = {
        "cosine": 0.5, "sqnr_db": 1.0, "shift": 1.0, "worst_part": 1.0, "max_abs": 1.0, "value": 1.0, "drop_pt": 1.0,
        "metric": "x", "args": {"task": "binary"}, "output": "y", "code": "z",
    }  # fmt: skip
    assert {field.name for field in fields(Budget)} == {*other, "base"}
    for name, value in other.items():
        assert Budget(**{name: value}).parts != Budget().parts
    assert Budget(base=Path("/elsewhere")).parts == Budget().parts
    json.dumps(Budget(**other).parts, allow_nan=False)
