"""What a source that is a Hugging Face folder depends on, for the cache: its files, and what loads them."""

from __future__ import annotations

from pathlib import Path

from mlopt.core.cache_entry import Key
from mlopt.core.packages import versions
from mlopt.formats.model import TensorSpec, digest_file
from mlopt.formats.torch.pretrained import read_pretrained
from mlopt.recipe.schema import Recipe

PACKAGES = ("torch", "transformers", "safetensors", "tokenizers")
_LOADER = 1
"""To be raised when the same folder becomes another model."""


def pretrained_key(recipe: Recipe, folder: Path, inputs: tuple[TensorSpec, ...]) -> Key:
    """Return what the source model depends on; raises ``ModelError`` for a folder that is not loaded."""
    found = read_pretrained(folder)
    parts = {
        "loader": _LOADER,
        "files": {file.relative_to(folder).as_posix(): digest_file(file) for file in found.files},
        "inputs": [str(spec) for spec in inputs],
        "outputs": list(recipe.model.outputs),
        "packages": versions(PACKAGES),
    }
    return Key("sources", f"{recipe.name}: source", parts)
