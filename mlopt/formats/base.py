"""What a format is: how models of one kind lie on disk, and what can be asked of them without running them.

It is to a kind of file what a runtime is to a library. Everything that opens, copies, digests or looks into a model
asks its format, so a new kind of file is one of these and one line in the table of ``mlopt.formats``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.core.errors import ModelError
from mlopt.formats.model import Kind, Model, TensorSpec

if TYPE_CHECKING:
    import onnx

Allowed = Callable[[str], bool]
"""Whether an artifact can hold a file of this name, besides its own."""


@dataclass(frozen=True)
class Format:
    """One kind of model. Functions raise ``ModelError`` in their own words; a file may come from anybody."""

    name: Kind
    label: str
    """With its article, as messages put it before "model" and "file": ``an ONNX``."""
    suffixes: tuple[str, ...]
    """Those of files that recipes and commands name as models, with the dot."""
    main_file: str
    """What the file that is opened is called in an artifact."""
    open: Callable[[Path], Model]
    """Return the model of a file, or of a directory that passes write: its interface, its files and their digest."""
    open_declared: Callable[[Path, tuple[TensorSpec, ...], tuple[str, ...]], Model] | None = None
    """The same with the inputs and the names of outputs that a recipe declares; None if files say their own."""
    heavy: bool = False
    """Whether opening a file loads a library or runs native code: it is then done in a process of its own."""
    digest: Callable[[Model], str] | None = None
    """The digest of the files as they are now, if there is a cheaper way than to open them again."""
    copy: Callable[[Model, Path, Allowed], Model] | None = None
    """Copy into an artifact's folder, under ``main_file``, and ``check_same``; None: every file, byte by byte."""
    beside: tuple[str, ...] = ()
    """Patterns of the names that its other files may have in an artifact."""
    check: Callable[[Model], None] | None = None
    """Raise ``ModelError`` for inputs and outputs that can be neither fed nor compared; None: NumPy's numbers can."""
    graph: Callable[[Model], onnx.ModelProto] | None = None
    """The graph view: the model as an ONNX graph whose weights may lie in files beside it; None if it has none."""
    unshippable: Callable[[Model], str | None] = lambda _model: None
    """Why this model cannot go into an artifact, if it cannot."""


def copy_files(model: Model, folder: Path, main_file: str) -> Path:
    """Copy all files of a model, the main one under another name, the others under their own; return the main one."""
    for file in model.files:
        name = main_file if file == model.path else file.relative_to(model.path.parent).as_posix()
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return folder / main_file


def check_same(model: Model, digest: str) -> None:
    """Raise ``ModelError`` unless this digest, of what was copied, is that of the model that was measured."""
    if digest != model.digest:
        raise ModelError("the model changed after it was measured", where=str(model.path), fix="run it again")
