"""Magika tells file types from their first and last bytes: an ONNX model as it comes, with labels by construction.

The files are those of installed Python packages, whose suffix says what they are, and archives made of them here.
Magika's own client takes the features. (A file called ``magika.py`` would hide the package of that name.)
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sysconfig
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from magika import Magika

SUFFIXES = {
    ".css": "css", ".csv": "csv", ".f90": "fortran", ".h": "c", ".html": "html", ".js": "javascript", ".json": "json",
    ".npy": "npy", ".npz": "npz", ".onnx": "onnx", ".pdf": "pdf", ".png": "png", ".py": "python", ".so": "elf",
    ".svg": "svg", ".ttf": "ttf",
}  # fmt: skip
PACKAGES = ("matplotlib", "numpy", "onnx", "skimage", "scipy")
PER_TYPE = 24
SMALLEST, LARGEST = 64, 4_000_000
Samples = tuple[dict[str, NDArray[np.int32]], NDArray[np.int64]]


def model_path() -> Path:
    path: Path = _client()._model_path
    return path


def calibration() -> Samples:
    return _part(lambda number: number % 3 == 0)


def evaluation() -> Samples:
    return _part(lambda number: number % 3 != 0)


def _part(chosen: Callable[[int], bool]) -> Samples:
    """The samples whose number within their type is ``chosen``: bytes [samples, 2048] and their types' indices."""
    rows, labels = [], []
    for label, samples in _samples().items():
        part = [row for number, row in enumerate(samples) if chosen(number)]
        rows += part
        labels += [_client()._target_labels_space.index(label)] * len(part)
    return {"bytes": np.array(rows, dtype=np.int32)}, np.array(labels, dtype=np.int64)


@lru_cache(maxsize=1)
def _samples() -> dict[str, list[tuple[int, ...]]]:
    """Up to 24 different feature vectors of each type."""
    found: dict[str, dict[tuple[int, ...], None]] = {}
    for label, content in _files():
        vectors = found.setdefault(label, {})
        features = _features(content) if len(vectors) < PER_TYPE else None
        if features is not None:
            vectors[features] = None
    return {label: list(vectors) for label, vectors in sorted(found.items())}


def _features(content: bytes) -> tuple[int, ...] | None:
    """What magika's client feeds its model; None for a file that it judges without one."""
    from magika.types import Seekable

    _, features = _client()._get_result_or_features_from_seekable(Seekable(io.BytesIO(content)))
    return None if features is None else (*features.beg, *features.end)


@lru_cache(maxsize=1)
def _client() -> Magika:
    from magika import Magika

    return Magika()


def _files() -> Iterator[tuple[str, bytes]]:
    """Types and contents: files of Python and of packages that every run of this recipe has, and archives of them."""
    standard = Path(sysconfig.get_path("stdlib"))
    roots = [standard / "json", standard / "email", standard / "idlelib", Path(sysconfig.get_path("include"))]
    roots += [Path(str(files(name))) for name in PACKAGES]
    sources: list[tuple[str, bytes]] = []
    for path in (path for root in roots for path in sorted(root.rglob("*"))):
        label = SUFFIXES.get(path.suffix)
        if label and path.is_file() and SMALLEST <= path.stat().st_size <= LARGEST:
            content = path.read_bytes()
            yield label, content
            if label == "python" and len(sources) < PER_TYPE:
                sources.append((path.name, content))
    for name, content in sources:
        yield from _archives(name, content)


def _archives(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    yield "gzip", gzip.compress(content, mtime=0)
    yield "bzip", bz2.compress(content)
    yield "xz", lzma.compress(content)
    yield "zlibstream", zlib.compress(content)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    yield "zip", buffer.getvalue()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as bundle:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        bundle.addfile(entry, io.BytesIO(content))
    yield "tar", buffer.getvalue()
