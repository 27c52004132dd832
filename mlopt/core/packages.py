"""Which distributions are installed, asked without importing them, and which extra of mlopt brings what is missing."""

from __future__ import annotations

import sysconfig
from functools import cache
from importlib import metadata
from pathlib import Path

# Two distributions give the same module, and their kernels differ: whichever is installed is what counts.
_ALTERNATIVES = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu")}

GENERATED = "TORCHINDUCTOR_CACHE_DIR"
"""Where ``torch.compile`` puts the code that it writes: in the run's own folder, and not where others can."""


@cache
def version(distribution: str) -> str | None:
    """Return the installed version, such as ``1.32.0`` or ``1.31.1 (onnxruntime-gpu)``; None if it is not installed."""
    for name in builds(distribution):
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return found if name == distribution else f"{found} ({name})"
    return None


def builds(distribution: str) -> tuple[str, ...]:
    """Return the distributions that mlopt takes for this one: itself, and other builds of the same module."""
    return _ALTERNATIVES.get(distribution, (distribution,))


def versions(distributions: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those that are installed."""
    return {name: found for name in distributions if (found := version(name)) is not None}


def install_command(extra: str) -> str:
    """Return the command that installs an extra."""
    return f'pip install "mlopt[{extra}]"'


def is_installed(file: Path) -> bool:
    """Whether a file belongs to Python, to an installed distribution or to mlopt."""
    if {"site-packages", "dist-packages"} & set(file.parts) or not file.is_absolute():  # "built-in", "frozen"
        return True
    return file.is_relative_to(Path(__file__).parents[1]) or file.is_relative_to(sysconfig.get_path("stdlib"))
