"""Linear models as JSON: ``{"input", "output", "weight": [[...]], "bias": [...]}``, y = x weight + bias."""

import json
from pathlib import Path

from mlopt.core.errors import ModelError
from mlopt.formats.base import Format
from mlopt.formats.model import Kind, Model, TensorSpec, digest_file

TOY = Kind("toy")
_KEYS = {"input", "output", "weight", "bias"}


def read(path: Path) -> dict:
    """Return what the file says, checked: it may come from anybody."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError("this is no toy model", where=str(path), got=str(error), expected="JSON") from error
    if not isinstance(said, dict) or said.keys() != _KEYS or not said["weight"]:
        raise ModelError("this is no toy model", where=str(path), expected=f"the keys {', '.join(sorted(_KEYS))}")
    return said


def open_toy(path: Path) -> Model:
    """Return the model: its interface, and the digest of all that it is made of."""
    said = read(path)
    inputs = (TensorSpec(said["input"], "float32", ("batch", len(said["weight"]))),)
    outputs = (TensorSpec(said["output"], "float32", ("batch", len(said["bias"]))),)
    return Model(TOY, path, digest_file(path), inputs, outputs, (path,))


FORMAT = Format(name=TOY, label="a toy", suffixes=(".toy",), main_file="model.toy", open=open_toy)
