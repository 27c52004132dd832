"""The rows that are predicted: whatever ``--data`` names becomes one ``.npy`` file per input, mapped into memory.

A folder of ``.npy`` files, or a single one, is read where it lies. The arrays of a ``.npz`` file are unpacked beside
the results, piece by piece. Neither is ever in memory as a whole. Texts and pictures are read as a recipe reads them,
which takes the memory of the arrays that they become, once.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlopt.core.errors import DataError
from mlopt.data.dataset import Array, Samples, count_of
from mlopt.data.feeds import check_inputs
from mlopt.data.folders import files_below, find_pictures
from mlopt.data.reading import read
from mlopt.data.source import DataSource
from mlopt.formats.model import TensorSpec
from mlopt.predict.records import file_digest
from mlopt.recipe.given_data import described
from mlopt.recipe.yaml_reader import read_bytes, read_text

EXPECTED = "a .npz file, a folder of .npy files, a .npy file, a folder of images, or a .jsonl file of texts"
Names = tuple[str, ...]
_CHUNK = 1 << 20
_LABELS = "labels"


@dataclass(frozen=True)
class RowData:
    """Where rows come from, before anything of it is written anywhere."""

    path: Path
    kind: str
    """npy, npz, images or texts."""
    digest: str
    reading: Mapping[str, Any] = field(default_factory=dict)
    """The keys of a data source that say how texts or images become arrays, and the digest of the tokenizer."""
    tokenizer: Path | None = None
    stamps: tuple[tuple[int, int], ...] = ()
    """Size and time of change of each file, before it was digested."""

    @property
    def is_as_found(self) -> bool:
        """Whether no file was changed since, as far as the file system tells."""
        return self.stamps == _stamps(_files(self.path, self.kind))


@dataclass(frozen=True)
class RowArrays:
    """The rows as arrays on disk: one ``.npy`` file per input, first axis = rows."""

    files: Mapping[str, Path]
    count: int
    row_bytes: int
    names: tuple[str, ...] = ()
    """Of pictures: the file of each row."""
    notes: tuple[str, ...] = ()
    """What was left out or changed when texts or pictures were read."""


def found(path: Path, inputs: Sequence[TensorSpec], lock: Path) -> RowData:
    """Look at the data and digest it; ``lock`` is the recipe's lock file of the artifact. Raises ``DataError``."""
    kind = _kind(path)
    files = _files(path, kind)
    stamps = _stamps(files)
    if kind in ("npy", "npz"):
        return RowData(path, kind, _digest(files, path), stamps=stamps)
    given = described(path, inputs, path.parent, fixed=False)
    part = "text" if kind == "texts" else "image"
    judged = {key: value for key, value in _as_judged(lock, part).items() if key not in ("tokenizer", "label")}
    keys = {key: value for key, value in {**given.keys.get(part, {}), **judged}.items() if key != "label"}
    reading: dict[str, Any] = {part: keys}
    if given.tokenizer is not None:
        reading["tokenizer"] = file_digest(given.tokenizer)
    return RowData(path, kind, _digest(files, path), reading, given.tokenizer, stamps)


def prepared(data: RowData, inputs: Sequence[TensorSpec], folder: Path) -> RowArrays:
    """Make the arrays, in the new ``folder`` where they are not on disk yet; raises ``DataError``."""
    folder.mkdir()
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    if data.kind == "npy":
        files = _named(data.path, inputs)
    elif data.kind == "npz":
        files = _unpacked(data.path, inputs, folder)
    else:
        files, names, notes = _read(data, inputs, folder)
    arrays = {name: mapped_rows(file) for name, file in files.items()}
    count = count_of(Samples(arrays), str(data.path))
    _check(arrays, inputs, str(data.path))
    if not count:
        raise DataError("there are no rows", where=str(data.path), expected="at least one")
    return RowArrays(files, count, sum(array[:1].nbytes for array in arrays.values()), names, notes)


def mapped_rows(file: Path) -> Array:
    """Map the array of a ``.npy`` file into memory; raises ``DataError`` for anything else, and unpickles nothing."""
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(
            "this is no array of numbers or text as numpy.save writes it", where=str(file),
            got=f"{type(error).__name__}: {error}"[:200], fix="write it with numpy.save, of one shape for all rows",
        ) from error  # fmt: skip
    if not isinstance(array, np.ndarray):
        raise DataError("this is no .npy file, but several arrays under its name", where=str(file))
    return array


def _kind(path: Path) -> str:
    if path.is_dir():
        return "npy" if any(path.glob("*.npy")) else "images"
    if not path.exists():
        raise DataError("the data does not exist", where=str(path), expected=EXPECTED, fix="check the path")
    kinds = {".npy": "npy", ".npz": "npz", ".jsonl": "texts"}
    if path.suffix not in kinds:
        raise DataError("mlopt predicts no data of this kind", where=str(path), got=path.suffix or "no suffix",
                        expected=EXPECTED, fix="write one .npy file per input with numpy.save")  # fmt: skip
    return kinds[path.suffix]


def _npy_files(path: Path) -> list[Path]:
    return sorted(path.glob("*.npy")) if path.is_dir() else [path]


def _files(path: Path, kind: str) -> list[Path]:
    """Return the files that the data consists of."""
    return _npy_files(path) if kind == "npy" else files_below(path)[0] if path.is_dir() else [path]


def _stamps(files: Sequence[Path]) -> tuple[tuple[int, int], ...]:
    return tuple((found.st_size, found.st_mtime_ns) for found in (file.stat() for file in files if file.exists()))


def _digest(files: Sequence[Path], base: Path) -> str:
    """Return the SHA-256 of a file, or over the names and digests of those of a folder."""
    if not base.is_dir():
        return file_digest(base)
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.relative_to(base).as_posix()}\0{file_digest(file)}\n".encode(errors="surrogateescape"))
    return whole.hexdigest()


def _as_judged(lock: Path, part: str) -> dict[str, Any]:
    """Return how the samples were read that the artifact was judged on, as far as they were of this kind."""
    if not lock.is_file():
        return {}
    recipe = read_text(read_bytes(lock), str(lock)).data
    source = (recipe.get("data") or {}).get("evaluation") or {}
    is_code = ".py:" in str(source.get("source", ""))
    return {key: value for key, value in (source.get(part) or {}).items() if value is not None and not is_code}


def _named(path: Path, inputs: Sequence[TensorSpec]) -> dict[str, Path]:
    if not path.is_dir():
        return {inputs[0].name: path} if len(inputs) == 1 else {path.stem: path}
    return {file.stem: file for file in _npy_files(path) if file.stem != _LABELS or _is_input(_LABELS, inputs)}


def _is_input(name: str, inputs: Sequence[TensorSpec]) -> bool:
    return any(spec.name == name for spec in inputs)


def _unpacked(path: Path, inputs: Sequence[TensorSpec], folder: Path) -> dict[str, Path]:
    """Unpack the arrays of a ``.npz`` file, each of which is a ``.npy`` file, in pieces."""
    files = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            for number, (name, info) in enumerate(members.items()):
                if name == _LABELS and not _is_input(name, inputs):
                    continue
                files[name] = folder / f"{number}.npy"
                with archive.open(info) as member, files[name].open("xb") as out:
                    shutil.copyfileobj(member, out, _CHUNK)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError("this is not a whole .npz file", where=str(path), got=f"{type(error).__name__}: {error}"[:200],
                        expected="a file as numpy.savez writes it", fix="write the file again") from error  # fmt: skip
    return files


def _read(data: RowData, inputs: Sequence[TensorSpec], folder: Path) -> tuple[dict[str, Path], Names, Names]:
    """Read texts or images as arrays; each line and each picture is a row, or it is an error.

    Returns the files, the names of pictures, and remarks.
    """
    keys = {key: value for key, value in data.reading.items() if key != "tokenizer"}
    if data.tokenizer is not None:
        keys["text"] = {**keys["text"], "tokenizer": str(data.tokenizer.resolve())}
    samples = read(DataSource(source=str(data.path.resolve()), **keys), Path("/"), tuple(inputs))
    names = tuple(_pictures(data.path)) if data.kind == "images" else ()
    arrays = samples.inputs
    if names and len(names) != len(next(iter(arrays.values()))):
        raise DataError("a picture cannot be read", where=str(data.path), got="; ".join(samples.notes)[:400],
                        fix="take it away, or repair it: rows are counted by the pictures")  # fmt: skip
    files = {name: folder / f"{number}.npy" for number, name in enumerate(arrays)}
    for name, array in arrays.items():
        np.save(files[name], array, allow_pickle=False)
    return files, names, tuple(samples.notes)


def _pictures(folder: Path) -> Iterator[str]:
    for file in find_pictures(folder).files:
        yield file.relative_to(folder).as_posix()


def _check(arrays: Mapping[str, Array], inputs: Sequence[TensorSpec], where: str) -> None:
    """Raise ``DataError`` for names, shapes and kinds of values that no row could be fed with.

    Values are looked at when their row is computed: one that is wrong is that row's fault.
    """
    made_up = {name: np.zeros((1, *array.shape[1:]), array.dtype) for name, array in arrays.items()}
    check_inputs(Samples(made_up), [replace(spec, value=None) for spec in inputs], where)
