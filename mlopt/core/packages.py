"""Which distributions are installed, asked without importing them, and which extra of mlopt brings what is missing."""

from __future__ import annotations

from functools import cache
from importlib import metadata

from mlopt.core.distribution import DISTRIBUTION, brought_by, origin, requirements

# Two distributions give the same module, and their kernels differ: whichever is installed is what counts.
_ALTERNATIVES = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu")}


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


@cache
def install_command(extra: str) -> str:
    """Return the command that adds an extra to this copy of mlopt, from where it came.

    Where that is not known, or gone, it is the packages that the extra names; without metadata, a sentence.
    """
    known = origin()
    if known is not None:
        return f"pip install {known.replace('{extra}', extra)}"
    packages = brought_by(extra, requirements())
    if packages:
        return "pip install " + " ".join(f'"{each}"' for each in packages)
    return f"install {DISTRIBUTION} with its extra `{extra}`, from the checkout or the wheel that this copy came from"


def reinstall_command() -> str:
    """Return what puts this copy of mlopt, and no package that it needs, in place again."""
    known = origin()
    if known is None:
        return f"install {DISTRIBUTION} again, from the checkout or the wheel that this copy came from"
    return f"pip install --force-reinstall --no-deps {known.replace('[{extra}]', '')}"
