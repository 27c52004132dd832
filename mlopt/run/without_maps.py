"""A source file without the maps that scikit-learn's converters make of its outputs: kept in the cache, and said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlopt.core.cache import Store
from mlopt.core.cache_entry import Key
from mlopt.formats.model import ONNX, Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.onnx.zipmap import ends_in_zipmap, write_unzipped

_MAIN = "model.onnx"


def without_maps(model: Model, name: str, store: Store) -> tuple[Model, bool, tuple[str, ...]]:
    """Return the model that is used, whether that took no work, and what was changed, in sentences."""
    if model.kind != ONNX or not ends_in_zipmap(model):
        return model, True, ()

    def make(out: Path) -> Mapping[str, Any]:
        return {"said": [str(each) for each in write_unzipped(model, out / _MAIN)[1]]}

    entry, hit = store.fetch(Key("sources", f"{name}: source", {"without": "ZipMap", "model": model.digest}), make)
    return open_onnx(entry.out / _MAIN), hit, tuple(entry.result["said"])
