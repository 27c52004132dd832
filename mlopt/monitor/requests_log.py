"""A log of what a model was asked and answered, as sketches: an .npz of arrays, or lines of JSON.

An .npz holds arrays named after inputs and outputs, first axis = rows. A line of JSON is an object with ``request`` and
``answer``, two messages of the Open Inference Protocol without binary data. Outputs may be absent.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.core.errors import DataError, MloptError
from mlopt.core.foreign_text import plain
from mlopt.protocol.messages import read_answer, read_request
from mlopt.sketches import Sketcher, Sketches, SketchPlan

Array = NDArray[Any]
Rows = tuple[Mapping[str, Array], Mapping[str, Array]]
MAX_LINE = 16 << 20
_BLOCK = 4096


def sketched(path: Path, plan: SketchPlan, digest: str) -> Sketches:
    """Return the sketches of a log; raises ``DataError`` for what is no log, or not of this model."""
    sketcher = Sketcher(plan)
    inputs = {one.name for one in plan.tensors if one.side == "input"}
    outputs = {one.name for one in plan.tensors if one.side == "output"}
    for asked, answered in _of_arrays(path, inputs, outputs) if path.suffix == ".npz" else _of_lines(path):
        sketcher.add(asked, answered)
    return sketcher.document(digest)


def _of_arrays(path: Path, inputs: set[str], outputs: set[str]) -> Iterator[Rows]:
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files if name in inputs | outputs}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError("the log cannot be read", where=str(path), got=plain(str(error))) from error
    counts = {len(array) if array.ndim else -1 for array in arrays.values()}
    if len(counts) != 1 or counts == {-1}:
        raise DataError("the log's arrays are not one entry for each row", where=str(path), got=", ".join(arrays) or
                        "none of the model's inputs", expected=", ".join(sorted(inputs)))  # fmt: skip
    for start in range(0, counts.pop(), _BLOCK):
        block = {name: array[start : start + _BLOCK] for name, array in arrays.items()}
        yield (
            {name: array for name, array in block.items() if name in inputs},
            {name: array for name, array in block.items() if name in outputs},
        )


def _of_lines(path: Path) -> Iterator[Rows]:
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE + 1), b""), 1):
                if line.strip():
                    yield _of_line(line, f"{path}:{number}")
    except OSError as error:
        raise DataError(f"the log cannot be read: {error.strerror}", where=str(path)) from error


def _of_line(line: bytes, where: str) -> Rows:
    expected = '{"request": {...}, "answer": {...}}, messages of the Open Inference Protocol'
    if len(line) > MAX_LINE:
        raise DataError("the line is too long", where=where, expected=f"at most {MAX_LINE} bytes")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError("the line is not JSON", where=where, got=plain(str(error)), expected=expected) from error
    if not isinstance(value, dict) or "request" not in value:
        raise DataError("the line is no request", where=where, expected=expected)
    try:
        asked = read_request(json.dumps(value["request"]).encode()).inputs
        answered = read_answer(json.dumps(value["answer"]).encode()).outputs if "answer" in value else {}
    except MloptError as error:
        raise DataError("the line is no message of the protocol", where=where, got=plain(error.brief)) from error
    return asked, answered
