"""Outputs whose size differs from sample to sample: one array per sample, in an array of objects of shape [samples].

A detector finds 3 things in one picture and 40 in another. Such outputs have a length and rows that can be chosen, like
any array of samples; only their parts have shapes of their own. Objects would be stored as a pickle, and pickles are
neither written nor read: on disk they are one flat array, and the shapes.
"""

from __future__ import annotations

import math
import tokenize
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import DataError

Array = NDArray[Any]
_RESTORE = "delete this directory and run again: it is made once more"
_NO_AXIS = -1


def ragged(parts: Sequence[Array]) -> Array:
    """Return the samples' arrays, of one dtype and any shapes, as one array [samples]."""
    found = np.empty(len(parts), dtype=object)
    for number, part in enumerate(parts):
        found[number] = part
    return found


def is_ragged(array: Array) -> bool:
    """Whether each sample has a shape of its own."""
    return array.dtype == object


def dtype_of(array: Array) -> np.dtype[Any]:
    """Return the dtype of the values, whatever holds them."""
    return np.asarray(array[0]).dtype if is_ragged(array) and len(array) else array.dtype


def joined(parts: Sequence[Array]) -> Array:
    """Return the samples' arrays as one array [samples, ...] where they have one shape, else ragged."""
    return np.stack(parts) if len({part.shape for part in parts}) == 1 else ragged(parts)


def of_one_call(a: Mapping[str, Array], b: Mapping[str, Array]) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    """Return what two models gave in one inference, so that it can be compared as outputs of samples.

    First axes are taken for samples, unless nothing was found, or not as much by both: then each output is that of one
    sample.
    """
    alike = all(name in b and array.shape == b[name].shape and array.shape[:1] != (0,) for name, array in a.items())
    if alike:
        return a, b
    one, other = ({name: ragged([array]) for name, array in side.items()} for side in (a, b))
    return one, other


def save(array: Array, file: Path) -> None:
    """Write ``file``, and the shapes beside it if the array is ragged."""
    if not is_ragged(array):
        np.save(file, array, allow_pickle=False)
        return
    rank = max((part.ndim for part in array), default=0)
    shapes = [[*part.shape, *[_NO_AXIS] * (rank - part.ndim)] for part in array]
    np.save(file, np.concatenate([part.reshape(-1) for part in array]), allow_pickle=False)
    np.save(_shapes(file), np.array(shapes, np.int64).reshape(len(array), rank), allow_pickle=False)


def load(file: Path) -> Array:
    """Read what ``save`` wrote, memory-mapped; raises ``DataError`` for anything else."""
    flat = mapped(file)
    if not _shapes(file).exists():
        return flat
    parts, start = [], 0
    for row in mapped(_shapes(file)).tolist():
        shape = [size for size in row if size != _NO_AXIS]
        end = start + math.prod(shape)
        parts.append(flat[start:end].reshape(shape))
        start = end
    return ragged(parts)


def _shapes(file: Path) -> Path:
    return file.with_suffix(".shapes.npy")


def mapped(file: Path) -> Array:
    """Map an array that mlopt stored into memory; raises ``DataError`` for anything else, and unpickles nothing."""
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, zipfile.BadZipFile, tokenize.TokenError) as error:
        got = f"{type(error).__name__}: {error}"[:200]
        raise DataError("this is no array that mlopt stored", where=str(file), got=got, fix=_RESTORE) from error
    if not isinstance(array, np.ndarray):
        raise DataError("this is no array that mlopt stored", where=str(file), got="several arrays", fix=_RESTORE)
    return array
