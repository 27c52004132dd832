"""What a source that is a TorchScript file depends on, for the cache, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlopt.core.cache_entry import Key
from mlopt.core.packages import version, versions
from mlopt.formats.model import TensorSpec, digest_file
from mlopt.recipe.schema import Recipe

PACKAGES = ("torch", "onnxscript", "onnx-ir")
"""Those of the pass ``export``."""
EXPORT = 4
"""The version of the pass ``export``, which does the work."""
_CHECKED = 1
"""To be raised when more is checked of what was exported."""


def scripted_key(recipe: Recipe, file: Path, inputs: tuple[TensorSpec, ...], samples: Mapping[str, Any] | None) -> Key:
    """Return what the source model depends on; ``samples`` is what those depend on that it is checked with."""
    parts = {
        "checked": [_CHECKED, EXPORT],
        "file": digest_file(file),
        "inputs": [str(spec) for spec in inputs],
        "outputs": list(recipe.model.outputs),
        "samples": None if samples is None else dict(samples),
        "packages": versions(PACKAGES),
    }
    return Key("sources", f"{recipe.name}: source", parts)


def how_exported() -> str:
    """Return what is to be said of such a source."""
    return f"The source was exported from TorchScript by torch {version('torch')}, and answers as the file does."
