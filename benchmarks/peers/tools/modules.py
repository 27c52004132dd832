"""A recipe's PyTorch module with the weights that mlopt's export of it has, for tools that start from modules."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def load(folder: str | Path) -> tuple[Any, list[str], list[str]]:
    """Return the module, ready to run, and the names of what it takes and gives, in order: ``module.json`` says so.

    That holds the recipe's Python file, its function and the names, and ``weights.safetensors`` lies beside it.
    """
    import torch
    from safetensors.torch import load_file

    told = json.loads((Path(folder) / "module.json").read_text(encoding="utf-8"))
    source = Path(told["file"])
    sys.path.append(str(source.parent))
    torch.manual_seed(0)
    module = getattr(importlib.import_module(source.stem), told["function"])()
    module.load_state_dict(load_file(Path(folder) / "weights.safetensors"))
    return module.eval(), told["inputs"], told["outputs"]
