"""What the protocol says of a server and a model: names, types and shapes, and which artifact it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlopt import __version__
from mlopt.formats.model import TensorSpec
from mlopt.protocol.tensors import datatype_of
from mlopt.serve.models import ServedModel, ServedVersion

FREE = -1
"""How the protocol writes a free dimension."""


def of_server() -> dict[str, Any]:
    """Return what ``GET /v2`` answers."""
    return {"name": "mlopt", "version": __version__, "extensions": ["binary_tensor_data"]}


def of_model(model: ServedModel, version: ServedVersion) -> dict[str, Any]:
    """Return what ``GET /v2/models/NAME`` answers."""
    loaded = version.loaded
    return {
        "name": model.name,
        "versions": [str(each.loaded.version) for each in model.usable.values()],
        "platform": f"mlopt_{loaded.runtime}",
        "inputs": _tensors(loaded.inputs),
        "outputs": _tensors(loaded.outputs),
        "parameters": identity(version),
    }


def identity(version: ServedVersion) -> dict[str, str]:
    """Return which artifact a version is, as every answer says."""
    return {"digest": version.digest, "version": str(version.loaded.version)}


def _tensors(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    return [
        {
            "name": spec.name, "datatype": datatype_of(spec.dtype),
            "shape": [FREE if isinstance(size, str) else size for size in spec.shape],
        }
        for spec in specs
    ]  # fmt: skip
