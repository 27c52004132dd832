"""A TorchScript file, read without running anything: whether a file is one, and what its ``forward()`` takes.

The archive holds the text of the module's code, so names of parameters are known before anybody agrees to run it. What
loads it is ``mlopt.formats.torch.scripted_source``.
"""

from __future__ import annotations

import ast
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mlopt.core.errors import ModelError
from mlopt.formats.filetype import told
from mlopt.formats.torch.files import BROKEN, SCRIPTED, TORCHSCRIPT, pickled_names

_HEAD, _LARGEST = 1 << 16, 1 << 23
"""Bytes that are read of the pickle, for the name of its first class, and of the text of the code."""
_SIGNATURE = 1 << 14


@dataclass(frozen=True)
class Parameter:
    """One parameter of ``forward()``."""

    name: str
    kind: str
    """As TorchScript writes types: ``Tensor``, ``Optional[Tensor]``, ``int``."""
    required: bool

    @property
    def takes_tensor(self) -> bool:
        """Whether a tensor may be given."""
        return self.kind in ("Tensor", "Optional[Tensor]")

    def __str__(self) -> str:
        return f"{self.name}: {self.kind}{'' if self.required else ' (may be left out)'}"


@dataclass(frozen=True)
class Signature:
    """What the text of a file says of the module."""

    parameters: tuple[Parameter, ...]
    double: bool
    """Whether there are weights of float64."""


def is_scripted(file: Path) -> bool:
    """Whether a file is a TorchScript archive, under a name that such files have."""
    if not file.name.endswith(SCRIPTED) or not file.is_file():
        return False
    kind = told(file)
    return kind is not None and kind.name == TORCHSCRIPT


def scripted_of(source: str, base: Path) -> Path | None:
    """Return the TorchScript file that a recipe's ``model.source`` names, relative to ``base``; None for others."""
    if not source.endswith(SCRIPTED):
        return None
    file = (base / source).resolve()
    return file if is_scripted(file) else None


def signature(file: Path) -> Signature:
    """Return what ``forward()`` takes, as the file's text has it; raises ``ModelError`` if that cannot be read."""
    try:
        with zipfile.ZipFile(file) as archive:
            pickled = next(name for name in archive.namelist() if name.partition("/")[2] == "data.pkl")
            with archive.open(pickled) as stream:
                names = pickled_names(stream.read(_HEAD))
            module, _, kind = next(name for name in names if name.startswith("__torch__")).partition(" ")
            with archive.open(f"{pickled.partition('/')[0]}/code/{module.replace('.', '/')}.py") as stream:
                text = stream.read(_LARGEST).decode()
        return Signature(_parameters(text, kind), any("DoubleStorage" in name for name in names))
    except (*BROKEN, StopIteration, SyntaxError, RecursionError, MemoryError) as error:
        raise ModelError(
            "mlopt cannot tell what forward() of this TorchScript file takes", where=str(file),
            got=f"{type(error).__name__}: {error}"[:200], expected="a module with forward(), as torch.jit.save has it",
            fix="save it again; or declare model.inputs in a recipe",
        ) from error  # fmt: skip


def _parameters(text: str, kind: str) -> tuple[Parameter, ...]:
    body = re.search(rf"^class {re.escape(kind)}\(Module\):\n(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE)
    found = re.search(r"^  def forward\((.*?)\) -> ", body[1], re.DOTALL | re.MULTILINE) if body else None
    if found is None or len(found[1]) > _SIGNATURE:
        raise ValueError("no forward() in its code")
    (function,) = ast.parse(f"def forward({found[1]}): ...").body
    given = function.args  # type: ignore[attr-defined]
    arguments = given.args[1:]  # without self
    required = len(arguments) - len(given.defaults)
    return tuple(
        Parameter(each.arg, ast.unparse(each.annotation) if each.annotation else "Tensor", place < required)
        for place, each in enumerate(arguments)
    )
