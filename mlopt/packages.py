"""Which distributions are installed, asked without importing them, and which extra of mlopt brings what is missing."""

from __future__ import annotations

from functools import cache
from importlib import metadata

# Two distributions give the same module, and their kernels differ: whichever is installed is what counts.
_ALTERNATIVES = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu")}


@cache
def version(distribution: str) -> str | None:
    """Return the installed version, such as ``1.32.0`` or ``1.31.1 (onnxruntime-gpu)``; None if it is not installed."""
    for name in _ALTERNATIVES.get(distribution, (distribution,)):
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return found if name == distribution else f"{found} ({name})"
    return None


def versions(distributions: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those that are installed."""
    return {name: found for name in distributions if (found := version(name)) is not None}


def install_command(extra: str) -> str:
    """Return the command that installs an extra."""
    return f'pip install "mlopt[{extra}]"'
