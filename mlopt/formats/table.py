"""The formats that mlopt knows: one line each, and those that other packages bring.

Another package adds formats through the entry-point group ``mlopt.formats``; each entry point names a ``Format``. For a
kind or a suffix of mlopt's own no other package is loaded, so a broken one stops nobody who does not use it.
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlopt.core import plugins
from mlopt.core.errors import ModelError
from mlopt.core.worker import WorkerDiedError, WorkerRaisedError, run_in_worker
from mlopt.formats.base import Allowed, Format, check_same, copy_files
from mlopt.formats.model import ONNX, Kind, Model, TensorSpec
from mlopt.formats.onnx.entry import FORMAT as ONNX_FORMAT
from mlopt.formats.tensorrt import FORMAT as TENSORRT_FORMAT
from mlopt.formats.torch.entry import FORMAT as TORCH_FORMAT

if TYPE_CHECKING:
    import onnx

BUILTIN: tuple[Format, ...] = (
    ONNX_FORMAT,
    TORCH_FORMAT,
    TENSORRT_FORMAT,
)
_GROUP = "mlopt.formats"


def table() -> dict[Kind, Format]:
    """Return all formats by the kind that they are of; raises ``PluginError``."""
    return {Kind(name): each for name, each in plugins.extended(_GROUP, BUILTIN, Format, "format").items()}


def format_of(kind: Kind) -> Format:
    """Return the format of a kind; raises ``ModelError`` for one that nobody here knows."""
    own = next((each for each in BUILTIN if each.name == kind), None)
    if own is not None:
        return own
    every = table()
    if kind not in every:
        raise ModelError(
            "no installed package knows this kind of model", got=kind, expected=", ".join(sorted(every)),
            fix=f"install the package that brings it (an entry point in the group {_GROUP})",
        )  # fmt: skip
    return every[kind]


def format_for(path: Path) -> Format | None:
    """Return the format of files with this suffix; None if nobody knows it."""
    own = next((each for each in BUILTIN if path.name.endswith(each.suffixes)), None)
    return own or next((each for each in table().values() if path.name.endswith(each.suffixes)), None)


def suffixes() -> tuple[str, ...]:
    """Return the suffixes of all files that are models."""
    return tuple(suffix for each in table().values() for suffix in each.suffixes)


def given(path: Path) -> Model:
    """Open a file that a user named as a model; one whose suffix says nothing is taken for an ONNX file."""
    found = format_for(path) or format_of(ONNX)
    if not found.heavy:
        return found.open(path)
    with TemporaryDirectory(prefix="mlopt-open-") as folder:
        return opened(found.name, path, Path(folder) / "log")


def opened(
    kind: Kind, path: Path, log: Path | None, inputs: tuple[TensorSpec, ...] = (), outputs: tuple[str, ...] = ()
) -> Model:
    """Open a model of a kind; ``inputs`` and ``outputs`` are declared, for files that do not say their own.

    With ``log``, a file that takes a library to open is opened in a process of its own, which may die instead of this
    one; raises ``ModelError``.
    """
    if log is not None and format_of(kind).heavy and path.is_file():
        try:
            return run_in_worker(log, opened, kind, path, None, inputs=inputs, outputs=outputs)
        except (WorkerDiedError, WorkerRaisedError) as error:
            raise ModelError("the model cannot be opened", where=str(path), got=str(error)) from error
    found = format_of(kind)
    if found.open_declared is not None and (inputs or outputs):
        return found.open_declared(path, inputs, outputs)
    return found.open(path)


def digest_now(model: Model) -> str:
    """Return the digest of the model's files as they are now."""
    found = format_of(model.kind)
    return found.digest(model) if found.digest is not None else found.open(model.path).digest


def graph_of(model: Model) -> onnx.ModelProto:
    """Return the model's graph view; raises ``ModelError`` for a kind that has none."""
    found = format_of(model.kind)
    if found.graph is None:
        raise ModelError(
            f"kind {model.kind} has no graph view, which this takes", where=str(model.path), got=f"{found.label} model",
            expected="a kind that shows its graph, such as onnx", fix="name the model that it was made from",
        )  # fmt: skip
    return found.graph(model)


def has_graph(kind: Kind) -> bool:
    """Whether models of this kind have a graph view."""
    return format_of(kind).graph is not None


def check_shippable(model: Model) -> None:
    """Raise ``ModelError`` for a model that cannot go into an artifact; to be asked before it is measured."""
    reason = format_of(model.kind).unshippable(model)
    if reason is not None:
        fix = "end the passes in a file: `export` makes an ONNX one"
        raise ModelError(f"the result cannot go into an artifact: {reason}", where=str(model.path), fix=fix)


def copied(model: Model, folder: Path, allowed: Allowed) -> Model:
    """Copy a model into an artifact's ``folder`` and return the copy.

    Raises ``ModelError`` if it is no longer what it was, cannot be shipped, or its format puts a file beside it whose
    name it did not declare or an artifact cannot hold.
    """
    check_shippable(model)
    found = format_of(model.kind)
    if found.copy is not None:
        packed = found.copy(model, folder, allowed)
    else:
        packed = found.open(copy_files(model, folder, found.main_file))
        check_same(model, packed.digest)
    names = [file.relative_to(folder).as_posix() for file in packed.files]
    odd = [name for name in names[1:] if not allowed(name) or not any(fnmatch(name, each) for each in found.beside)]
    if names[0] != found.main_file or odd:
        raise ModelError(
            f"the format {found.name} puts other files into an artifact than it declares", where=str(model.path),
            got=", ".join(odd or names[:1]), expected=", ".join((found.main_file, *found.beside)),
            fix="report it to the package that brings the format",
        )  # fmt: skip
    return packed
