"""The file of one shard: a ``.npz`` whose array ``rows`` tells which rows the others are of.

Outputs are called by their names, unless a name is taken or cannot be one of a file: then ``output_0``, by its place.
An output whose shape differs from row to row is one flat array, with the shapes in ``NAME.shapes`` (-1 where a row has
fewer axes). The same rows give the same bytes.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlopt.artifact.files import sync
from mlopt.data import ragged
from mlopt.data.dataset import Array

ROWS = "rows"
_SHAPES = ".shapes"
_NO_AXIS = -1
_LONGEST = 200


def array_names(outputs: Sequence[str]) -> dict[str, str]:
    """Return what the array of each output is called in the file."""
    by_place = {f"output_{number}" for number in range(len(outputs))}
    taken = {ROWS, *by_place, *(f"{name}{_SHAPES}" for name in (*outputs, *by_place))}
    usual = {name for name in outputs if name not in taken and name.isprintable() and 0 < len(name) < _LONGEST}
    return {name: name if name in usual else f"output_{number}" for number, name in enumerate(outputs)}


def write(file: Path, rows: Sequence[int], outputs: Mapping[str, Array]) -> None:
    """Write the file whole or not at all, and to disk; ``outputs`` are by the names of their arrays."""
    arrays: dict[str, Array] = {ROWS: np.asarray(rows, dtype=np.int64)}
    for name, output in outputs.items():
        arrays |= _flat(name, output) if ragged.is_ragged(output) else {name: output}
    temporary = file.with_name(f".{file.name}.{os.urandom(4).hex()}")
    try:
        with temporary.open("wb") as stream:
            _pack(stream, arrays)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    sync([file.parent])


def read(file: Path, names: Mapping[str, str]) -> tuple[Array, dict[str, Array]]:
    """Return the numbers of the rows, and the outputs: ``names`` gives the array of each."""
    with np.load(file, allow_pickle=False) as archive:
        held = set(archive.files)
        outputs = {
            output: _parts(archive[name], archive[f"{name}{_SHAPES}"]) if f"{name}{_SHAPES}" in held else archive[name]
            for output, name in names.items()
        }
        return archive[ROWS], outputs


def _pack(stream: Any, arrays: Mapping[str, Array]) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)


def _flat(name: str, output: Array) -> dict[str, Array]:
    rank = max(part.ndim for part in output)
    shapes = [[*part.shape, *[_NO_AXIS] * (rank - part.ndim)] for part in output]
    flat = np.concatenate([part.reshape(-1) for part in output])
    return {name: flat, f"{name}{_SHAPES}": np.array(shapes, np.int64).reshape(len(output), rank)}


def _parts(flat: Array, shapes: Array) -> Array:
    parts, start = [], 0
    for row in shapes.tolist():
        shape = [size for size in row if size != _NO_AXIS]
        end = start + math.prod(shape)
        parts.append(flat[start:end].reshape(shape))
        start = end
    return ragged.ragged(parts)
