"""A recipe's Python that builds a module, and the model that is made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlopt.core.usercode import CodeReference
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.torch.source import materialize

INPUTS = (TensorSpec("input", "float32", ("batch", 3)),)
FEEDS = {"input": np.arange(6, dtype=np.float32).reshape(2, 3)}


def write(tmp_path: Path, text: str, name: str = "build") -> CodeReference:
    file = tmp_path / "net.py"
    file.write_text(f"import torch\nfrom pathlib import Path\n{text}\n")
    return CodeReference(file, name)


def make(tmp_path: Path, code: CodeReference, weights: CodeReference | Path | None = None, **kwargs: object) -> Model:
    out = tmp_path / f"model{sum(1 for _ in tmp_path.glob('model*'))}"
    out.mkdir()
    return materialize(code, weights, kwargs.get("inputs", INPUTS), (), out)  # type: ignore[arg-type]
