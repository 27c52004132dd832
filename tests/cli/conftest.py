"""A small artifact for the verbs that sign, verify and move one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from filled_artifact import Fill, filling

from mlopt.artifact import layout


@pytest.fixture
def fill() -> Callable[..., Fill]:
    """``fill(verdict=..., weights=...)`` gives what ``layout.write`` calls to put the files in place."""
    return filling


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """``made(verdict)``: an artifact that nobody has signed."""

    def make(verdict: str = "pass") -> Path:
        layout.write(tmp_path / "digits", filling(verdict))
        return tmp_path / "digits"

    return make
