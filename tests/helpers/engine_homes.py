"""The environments that engines live in, each beside the checkout; a test is skipped, with the reason, without one."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def home(name: str) -> Path:
    """Return ``.bench/NAME`` as an environment with its Python; skips the test where nobody made it."""
    folder = ROOT / ".bench" / name
    if not (folder / ".installed").exists():
        pytest.skip(f"{name} is not installed: make .bench/{name}/.installed")
    return folder


def python(name: str) -> Path:
    return home(name) / "bin" / "python"
