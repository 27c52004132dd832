"""Where an ONNX file says what it is fixed to: one of its properties, so that it holds for the file alone.

Sizes stand in the graph, too, where every runtime sees them. A fixed input is still an input, but nothing reads it:
only who knows this property can tell that another value is wrong. Whoever opens models here reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import ModelError
from mlopt.formats.fixed import Fixed, frozen, thawed

if TYPE_CHECKING:
    import onnx

KEY = "mlopt.fixed"
_LARGEST = 2**63


def read_fixed(proto: onnx.ModelProto, path: Path) -> tuple[dict[str, int], dict[str, Fixed]]:
    """Return the sizes and the values that a file says it is fixed to; raises ``ModelError`` for what is neither."""
    text = next((entry.value for entry in proto.metadata_props if entry.key == KEY), None)
    return ({}, {}) if text is None else _parsed(text, path)


def write_fixed(proto: onnx.ModelProto, sizes: Mapping[str, int], values: Mapping[str, Fixed]) -> None:
    """Write into the file's properties what it is fixed to."""
    text = json.dumps({"dims": dict(sizes), "inputs": {name: thawed(value) for name, value in values.items()}})
    kept = [entry for entry in proto.metadata_props if entry.key != KEY]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    proto.metadata_props.add(key=KEY, value=text)


def _parsed(text: str, path: Path) -> tuple[dict[str, int], dict[str, Fixed]]:
    try:
        found: Any = json.loads(text)
        dims, values = found["dims"], found["inputs"]
        sizes = list(dims.values())
        fixed = {name: frozen(value) for name, value in values.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise no_sense(path, f"{type(error).__name__}: {error}"[:200]) from error
    if not all(type(size) is int and 1 <= size < _LARGEST for size in sizes):
        raise no_sense(path, f"sizes {dims}"[:200])
    return dict(dims), fixed


def no_sense(path: Path, got: str) -> ModelError:
    """Return the error of a file that says of itself what cannot be."""
    return ModelError(
        "what the file says it is fixed to makes no sense", where=f"{path}: property {KEY}", got=got,
        expected="what the pass `specialize` writes", fix="make the model again",
    )  # fmt: skip
