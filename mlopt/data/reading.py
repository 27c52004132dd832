"""Where samples come from: ``.npz`` files, image folders, ``.jsonl`` text, or a Python function.

Files are untrusted: nothing is unpickled, and whatever is wrong with them is a ``DataError`` that names the place.
"""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Hashable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mlopt.core.errors import DataError
from mlopt.core.usercode import parse_reference
from mlopt.data import choice
from mlopt.data.dataset import Array, Samples, count_of, sample_digests
from mlopt.data.feeds import check_inputs, check_names
from mlopt.data.functions import call, in_a_line
from mlopt.data.images import read_images
from mlopt.data.source import SUPPORTED, DataSource
from mlopt.data.text import read_text
from mlopt.data.unequal import PAD
from mlopt.formats.model import TensorSpec

_BROKEN_NPZ = (
    OSError, ValueError, EOFError, TypeError, SyntaxError, MemoryError, RuntimeError, LookupError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What NumPy and zipfile raise for bytes that are no .npz file; NumPy parses an array's header as Python text."""


_PICTURES = frozenset({".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_PACKED = frozenset({".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"})


def read(source: DataSource, base: Path, inputs: tuple[TensorSpec, ...], defaults: tuple[str, ...] = ()) -> Samples:
    """Read the samples that ``source`` describes and fit them to the model's ``inputs`` (see ``check_inputs``).

    ``base`` is the recipe's folder. Python functions are called: consent is the caller's matter. Raises ``DataError``,
    or ``MissingPackage`` when images or text need a library that is not installed.
    """
    samples = _read(source, base, inputs, defaults)
    if not samples.inputs or any(len(array) == 0 for array in samples.inputs.values()):
        raise DataError(
            "no samples are left" if source.split or source.limit else "there are no samples",
            where=source.source,
            got=f"split {source.split}, limit {source.limit}" if source.split or source.limit else None,
            expected="at least one sample",
            fix="widen `split`, or give more data" if source.split else "give more data",
        )
    return check_inputs(samples, inputs, source.source, defaults) if inputs else samples


def window(
    source: DataSource, count: int, labels: Array | None = None, same: Sequence[Hashable] | None = None
) -> list[int]:
    """Return which of ``count`` samples a source means; adjacent splits never share one.

    Equal entries of ``same`` stand for equal samples, which no split parts.
    """
    if source.split is None and (source.limit is None or source.limit >= count):
        return list(range(count))
    edges = source.split or (0.0, 1.0)
    if source.in_order:
        first, last = (round(edge * count) for edge in edges)
        return list(range(first, last)[: source.limit])
    return [int(row) for row in choice.part(count, edges, source.limit, labels, same)]


def _part(source: DataSource, samples: Samples) -> Samples:
    """Return the samples of the window; raises ``DataError`` if there is not one of each for every sample."""
    count = count_of(samples, source.source)
    same = sample_digests(samples.inputs, count) if source.split is not None and not source.in_order else None
    rows = window(source, count, samples.labels, same)
    if len(rows) == count:
        return samples
    labels = None if samples.labels is None else samples.labels[rows]
    return Samples({name: array[rows] for name, array in samples.inputs.items()}, labels, samples.notes)


def _read(source: DataSource, base: Path, inputs: tuple[TensorSpec, ...], defaults: tuple[str, ...]) -> Samples:
    code = parse_reference(source.source, base)
    if code is not None:
        return _part(source, call(code, inputs))
    path = base / source.source
    if not path.exists():
        raise DataError("the data does not exist", where=str(path), expected=SUPPORTED, fix="check the path")
    if path.is_dir():
        labels = base / source.labels if source.labels else None
        return read_images(path, source.image, labels, inputs, partial(window, source), source.classes)
    if path.suffix == ".npz":
        samples = read_npz(path, source.labels, inputs)
        check_names(samples, inputs, source.source, defaults)  # before lengths, which of another array may differ
        return _part(source, samples)
    if path.suffix == ".jsonl":
        return read_text(path, source.text, base, inputs, partial(window, source), source.classes)
    raise DataError(
        "mlopt cannot read this kind of data", where=str(path), got=path.suffix or "a file without a suffix",
        expected=SUPPORTED, fix=_other_kind(path, inputs),
    )  # fmt: skip


def _other_kind(path: Path, inputs: tuple[TensorSpec, ...]) -> str:
    """Return how to turn a file into one that can be read."""
    name = inputs[0].name if inputs else "input"
    array = "..."
    if path.suffix in {".npy", ".npz"}:
        array = f"numpy.load({path.name!r})"
    elif path.suffix in {".csv", ".tsv", ".txt"}:
        array = f"numpy.loadtxt({path.name!r}, delimiter=',', dtype='float32', skiprows=LINES_OF_HEADER)"
    elif path.suffix.lower() in _PICTURES:
        return f"name the folder of the images: {path.parent}"
    elif path.suffix.lower() in _PACKED:
        return "unpack it, and name the folder or the file"
    elif path.suffix == ".json":
        return "write one JSON object a line, into a .jsonl file"
    return f"numpy.savez({path.stem + '.npz'!r}, **{{{name!r}: {array}}}) writes a .npz file"


def read_npz(path: Path, labels: str | None, inputs: tuple[TensorSpec, ...]) -> Samples:
    """Read arrays by name; ``labels`` names the one with the labels, by default 'labels' unless it is an input."""
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=str(path), got="0 bytes")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            if stream.read(6) == b"\x93NUMPY":
                raise DataError(
                    "this is one array, a .npy file, under the name of a .npz file", where=str(path),
                    expected="a file as numpy.savez writes it", fix=_other_kind(path, inputs),
                )  # fmt: skip
        raise DataError(
            "this is not a whole .npz file: it is cut short, or of another format",
            where=str(path),
            got=f"{path.stat().st_size} bytes",
            expected="a file as numpy.savez writes it",
            fix="write the file again",
        )
    arrays = _arrays(path)
    name = labels or "labels"
    if labels and labels not in arrays:
        raise DataError(f"there is no array '{labels}'", where=str(path), got=", ".join(arrays), expected=labels)
    is_input = any(spec.name == name for spec in inputs)
    found = None if is_input else arrays.pop(name, None)
    return Samples(arrays, found)


def _arrays(path: Path) -> dict[str, Array]:
    name = None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {}
            for name in archive.files:
                arrays[name] = archive[name]
    except _BROKEN_NPZ as error:
        if "allow_pickle=False" in str(error):
            raise DataError(
                "the array holds pickled Python objects, which mlopt never loads",
                where=f"{path}: array '{name}'",
                expected="an array of numbers",
                fix=f"save numbers as x.astype(numpy.float32), text as x.astype(str); of several sizes, after {PAD}",
            ) from error
        where = str(path) if name is None else f"{path}: array '{name}'"
        raise DataError(
            "the .npz file is damaged", where=where, got=in_a_line(error), fix="write the file again"
        ) from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise DataError("this entry of the .npz file is no array", where=f"{path}: '{name}'", fix="remove it")
    return arrays
