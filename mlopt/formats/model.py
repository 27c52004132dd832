"""A model between two passes: a handle on an immutable file or directory, with its digest and its interface.

Nothing here loads weights. ONNX files may be larger than 2 GB: tensors live in external data files beside them, which
count as part of the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NewType

from mlopt.core.errors import ModelError
from mlopt.core.file_digest import digest_of
from mlopt.formats.fixed import Fixed, as_array, thawed

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOT_IN_NUMPY = frozenset({"bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"})
"""Types of inputs and outputs that no runtime here exchanges as arrays."""
_SHOWN = 4
_LONGEST = 60


Kind = NewType("Kind", str)
"""The form in which a model exists: the name of a format in ``mlopt.formats``, to which other packages add."""
TORCH, ONNX, TENSORRT = Kind("torch"), Kind("onnx"), Kind("tensorrt")


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: its NumPy dtype name and its shape; a ``str`` dimension is dynamic."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    value: Fixed | None = None
    """The only value that the model takes here, if it was made for one: the input is still fed, and must hold it."""

    @property
    def dynamic_axes(self) -> tuple[int, ...]:
        """The positions of the dynamic dimensions."""
        return tuple(axis for axis, size in enumerate(self.shape) if isinstance(size, str))

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, for JSON; what has no fixed value says nothing of values."""
        plain = {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}
        return plain if self.value is None else plain | {"value": thawed(self.value)}

    def fixed_array(self) -> NDArray[Any] | None:
        """Return the only array that the input takes, if there is one; raises ``ValueError`` if it cannot hold that."""
        return None if self.value is None else as_array(self.value, self.dtype, self.shape)

    def __str__(self) -> str:
        value = "" if self.value is None else f" = {_shown(self.value)}"
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]{value}"


def _shown(value: Fixed) -> str:
    """Show a value in bounded length; what is left out is told apart by a digest, since caches go by this text."""
    text = repr(value)
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... (sha256 {digest[:16]})"


def is_numeric(dtype: str) -> bool:
    """Whether NumPy itself has numbers of this name; those that other packages add to it cannot be exchanged."""
    import numpy as np  # `mlopt verify`, which needs none, imports this module

    if dtype not in np.sctypeDict:
        return False
    found = np.dtype(dtype)
    return found.kind in "fiub" and found.isbuiltin == 1  # 2: of another package, which may call itself a float


def count_of(names: Sequence[str]) -> str:
    """Name a few, and say how many there are: a file may have hundreds."""
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


@dataclass(frozen=True)
class Model:
    """A model on disk.

    ``path`` is its main file, such as the ``.onnx`` one, or the directory of a PyTorch model that recipe code builds.
    ``digest`` is the SHA-256 of everything that makes up the model, in hexadecimal.
    """

    kind: Kind
    path: Path
    digest: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    files: tuple[Path, ...]
    defaults: tuple[str, ...] = ()
    """The inputs, not among ``inputs``, that a caller may leave out, since the model has a value for them. What is
    measured and compared is the model with these values. At IR version 3 every weight had to be such an input, so there
    they are taken for weights and not listed."""
    carried: tuple[Path, ...] = ()
    """Those of ``files`` that only some of the runtimes read which run this kind: they are not in its size."""
    sizes: tuple[tuple[str, int], ...] = ()
    """The dimensions that a pass fixed, each with its size, by the names that they had before."""

    @property
    def fixed(self) -> dict[str, Fixed]:
        """The values that inputs are fixed at, by the input's name."""
        return {spec.name: spec.value for spec in self.inputs if spec.value is not None}

    @property
    def size_bytes(self) -> int:
        """What the model occupies on disk, external data included."""
        return sum(file.stat().st_size for file in self.files if file not in self.carried)


def digest_file(path: Path) -> str:
    """Return the SHA-256 of one file, in hexadecimal, as ``sha256sum`` prints it."""
    return digest_of(path)


def digest_files(paths: Iterable[Path], root: Path) -> str:
    """Return one SHA-256 for several files: of one file its own, of more that of their ``sha256sum`` lines.

    Names in those lines are relative to ``root``, and the lines are sorted by name.
    """
    files = sorted(paths, key=lambda path: path.relative_to(root).as_posix())
    if not files:
        raise ModelError("there is no file to compute a digest of", where=str(root))
    if len(files) == 1:
        return digest_file(files[0])
    lines = [f"{digest_file(path)}  {path.relative_to(root).as_posix()}\n" for path in files]
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
