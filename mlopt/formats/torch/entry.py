"""PyTorch models as a format: ``.pt2`` programs, and directories that say how a recipe's Python builds the module.

Only a program can be shipped: a directory names Python that lies elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from mlopt.formats.base import Format
from mlopt.formats.model import TORCH, Model, TensorSpec, digest_file
from mlopt.formats.torch.model import open_program, open_torch

_PYTHON = "the recipe's Python builds it, which an artifact does not hold"


def _open(path: Path) -> Model:
    return open_torch(path) if path.is_dir() else open_program(path)


def _open_declared(path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[str, ...]) -> Model:
    return open_torch(path) if path.is_dir() else open_program(path, inputs, outputs)


def _digest(model: Model) -> str:
    """Of a directory, which only mlopt writes, the one it had: the Python that it names is digested by itself."""
    return model.digest if model.path.is_dir() else digest_file(model.path)


def _unshippable(model: Model) -> str | None:
    return _PYTHON if model.path.is_dir() else None


FORMAT = Format(
    name=TORCH,
    label="a PyTorch",
    suffixes=(".pt2",),
    main_file="model.pt2",
    open=_open,
    open_declared=_open_declared,
    heavy=True,
    digest=_digest,
    unshippable=_unshippable,
)
