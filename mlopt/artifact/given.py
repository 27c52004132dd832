"""A folder that a user gave where a model belongs: an artifact, or a mistake that is his and no fault of integrity."""

from __future__ import annotations

import os
from pathlib import Path

from mlopt.artifact.layout import MANIFEST, Manifest, read_manifest
from mlopt.core.errors import ModelError


def given_manifest(directory: Path) -> Manifest:
    """Read the manifest of a directory that a user gave where a model belongs; raises like ``read_manifest``.

    A directory that is no artifact is a mistake (``ModelError``), not a fault of its integrity.
    """
    if os.path.lexists(directory / MANIFEST):
        return read_manifest(directory)
    models = sorted(path.name for path in directory.glob("*.onnx"))
    raise ModelError(
        f"this folder is no artifact: it has no {MANIFEST}", where=str(directory),
        expected="an .onnx file, or an artifact as mlopt optimize writes it",
        fix=f"name the model in it: {directory / models[0]}" if models else "check the path",
    )  # fmt: skip
