"""Reading predictions back: every row that was predicted once, in order, each shard held against its digest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import IntegrityError, UserError
from mlopt.predict.records import ERRORS, SUMMARY, file_digest

if TYPE_CHECKING:
    import os

    from mlopt.data.dataset import Array


@dataclass(frozen=True)
class PredictedRows:
    """Some rows in order, with their outputs."""

    rows: Array
    """Their numbers in the data, [rows]."""
    outputs: dict[str, Array]
    """By output [rows, ...]; of an output whose shape differs from row to row an array of arrays."""


def summary_of(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of ``predictions.json``; raises ``UserError`` where there is none."""
    file = Path(directory) / SUMMARY
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            "there are no finished predictions here", where=str(directory), expected=SUMMARY,
            fix="run mlopt predict to its end: the same command goes on",
        ) from error  # fmt: skip
    return found


def read(directory: str | os.PathLike[str]) -> Iterator[PredictedRows]:
    """Yield the rows of each shard, in order; rows that failed are left out (see ``errors``).

    Raises ``UserError`` for a folder that is not finished, ``IntegrityError`` for a shard that was changed.
    """
    from mlopt.predict import shard_file

    for shard in summary_of(directory)["shards"]:
        file = Path(directory) / shard["file"]
        got = file_digest(file) if file.is_file() else "no file"
        if got != shard["sha256"]:
            raise IntegrityError("a shard is not what was written", where=str(file), got=got, expected=shard["sha256"],
                                 fix="run mlopt predict again: it does damaged shards anew")  # fmt: skip
        rows, outputs = shard_file.read(file, shard["outputs"])
        if len(rows):
            yield PredictedRows(rows, outputs)


def errors(directory: str | os.PathLike[str]) -> dict[int, str]:
    """Return why each row failed that did, by its number."""
    lines = (Path(directory) / ERRORS).read_text(encoding="utf-8").splitlines()
    return {found["row"]: found["error"] for found in map(json.loads, lines)}
