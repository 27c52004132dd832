"""Whose a Python file is: that of Python, of an installed distribution or of mlopt, or that of a recipe."""

from __future__ import annotations

import sysconfig
from pathlib import Path

GENERATED = "TORCHINDUCTOR_CACHE_DIR"
"""Where ``torch.compile`` puts the code that it writes: in the run's own folder, and not where others can."""


def is_installed(file: Path) -> bool:
    """Whether a file belongs to Python, to an installed distribution or to mlopt."""
    if {"site-packages", "dist-packages"} & set(file.parts) or not file.is_absolute():  # "built-in", "frozen"
        return True
    return file.is_relative_to(Path(__file__).parents[1]) or file.is_relative_to(sysconfig.get_path("stdlib"))
