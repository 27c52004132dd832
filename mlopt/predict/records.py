"""What lies in the folder of a run: how it was set up, what became of each shard, and the whole in the end.

::

    setup.json              what the run is of; another command for the same folder must agree with it
    shards/00000.npz        ``rows``: the numbers of the rows in it; and one array per output, aligned with ``rows``
    shards/00000.json       its range of rows, its SHA-256, the rows that failed, and what it took
    errors.jsonl            every row that failed, with its reason
    predictions.json        the whole: written last, so a folder without it is not finished

Each file is whole or absent. A shard counts only if both of its files are there and agree.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from mlopt.artifact.files import write_atomic

SETUP, SUMMARY, ERRORS, SHARDS, WORK = "setup.json", "predictions.json", "errors.jsonl", "shards", ".mlopt-work"
Hex = str


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RowFault(_Stored):
    """A row that could not be computed."""

    row: int
    error: str


class RunSetup(_Stored):
    """What a folder of predictions is of. Workers are no part of it: how many there are may change on the way."""

    schema_: Literal["mlopt.predict/v1"] = Field(default="mlopt.predict/v1", alias="schema")
    artifact: Hex
    """The digest over all signed files of the artifact."""
    data: Hex
    """The SHA-256 of the data file, or over the names and digests of the files of a folder."""
    reading: dict[str, JsonValue]
    """How files became arrays, for texts and images."""
    rows: int
    shard_rows: int
    batch_size: int

    @property
    def digest(self) -> Hex:
        """The SHA-256 over all of it, which each shard is marked with."""
        return _digest(self.model_dump(mode="json"))

    def differences(self, other: Self) -> list[tuple[str, str, str]]:
        """Name what differs: its key, what it is here, and what it is there."""
        mine, others = self.model_dump(mode="json"), other.model_dump(mode="json")
        return [(key, _text(mine[key]), _text(others[key])) for key in mine if mine[key] != others[key]]


class ShardRecord(_Stored):
    """What became of one shard."""

    run: Hex
    """``RunSetup.digest``."""
    number: int
    start: int
    stop: int
    """One above its last row."""
    file: str
    sha256: Hex
    bytes: int
    predicted: int
    """Rows with outputs; the others of the range are in ``faults``."""
    faults: tuple[RowFault, ...]
    not_finite: int
    """Rows with NaN or infinity in an output."""
    outputs: tuple[tuple[str, str], ...]
    """Of each output its name, and that of its array in the file."""
    seconds: float
    cpu_seconds: float
    """User and system time of the worker since its last shard; its start is in that of its first."""
    host: str
    check: Hex = ""
    """The SHA-256 over the rest of this record."""

    def sealed(self) -> Self:
        """Return it with its check."""
        return self.model_copy(update={"check": _digest(self.model_dump(mode="json", exclude={"check"}))})

    @property
    def is_whole(self) -> bool:
        """Whether it says what was written, and each row of its range once."""
        holds = self.check == _digest(self.model_dump(mode="json", exclude={"check"}))
        return holds and self.predicted + len({fault.row for fault in self.faults}) == self.stop - self.start


def name_of(number: int) -> str:
    """Return what the files of a shard are called, without their endings."""
    return f"{number:05d}"


def write_shard(folder: Path, record: ShardRecord) -> ShardRecord:
    """Write the record of a shard whose file is there, with its check: from now on it is done. Raises ``OSError``."""
    sealed = record.sealed()
    write_json(folder / SHARDS / f"{name_of(record.number)}.json", sealed.model_dump(mode="json"))
    return sealed


def read_shard(folder: Path, number: int) -> ShardRecord | None:
    """Return the record of a shard if it and the file that it tells of are whole; None if not, or not there."""
    place = folder / SHARDS / name_of(number)
    try:
        record = ShardRecord.model_validate_json(place.with_suffix(".json").read_bytes())
        found = file_digest(folder / SHARDS / record.file)
    except (OSError, ValidationError):
        return None
    ours = record.number == number and record.file == f"{place.name}.npz"
    return record if ours and record.is_whole and record.sha256 == found else None


def was_begun(folder: Path, number: int) -> bool:
    """Whether anything of a shard is there."""
    return (folder / SHARDS / f"{name_of(number)}.json").exists()


def file_digest(path: Path) -> Hex:
    """Return the SHA-256 of a file, which is read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document whole or not at all."""
    write_atomic(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def _digest(value: Any) -> Hex:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
