"""A small artifact to sign, tamper with and verify."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from filled_artifact import Fill, filling


@pytest.fixture
def fill() -> Callable[..., Fill]:
    """``fill(verdict=..., weights=...)`` gives what ``layout.write`` calls to put the files in place."""
    return filling
