"""The folder of a run: whose it is, and how it ends."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlopt import __version__
from mlopt.artifact.files import write_atomic
from mlopt.core.errors import DataError, OutputError, Problem, UserError
from mlopt.core.hardware import detect_cpu
from mlopt.predict.records import (
    ERRORS,
    SETUP,
    SHARDS,
    SUMMARY,
    WORK,
    RowFault,
    RunSetup,
    ShardRecord,
    name_of,
    write_json,
)
from mlopt.predict.shard_worker import Abandoned
from mlopt.results.environment import now

LOCK = ".lock"
NAMES = "names.txt"
_OURS = frozenset({SETUP, SUMMARY, ERRORS, SHARDS, WORK, LOCK, NAMES})
_OPTIONS = {"shard_rows": "--shard-rows", "batch_size": "--batch-size"}
_WORDS = {
    "artifact": "the artifact, by its digest", "data": "the data, by its digest", "rows": "the number of rows",
    "reading": "how files are read", "shard_rows": "the rows of a shard", "batch_size": "the batch size",
}  # fmt: skip


@dataclass
class Headway:
    """What became of the shards of a run so far."""

    kept: list[ShardRecord] = field(default_factory=list)
    """Those that were done before."""
    damaged: int = 0
    """Shards that were there and not whole, and are done again."""
    done: list[ShardRecord] = field(default_factory=list)
    abandoned: Abandoned | None = None
    seconds: float = 0.0
    """Of computing, by the clock."""

    @property
    def shards(self) -> list[ShardRecord]:
        """All that are whole, in order."""
        return sorted([*self.kept, *self.done], key=lambda record: record.number)

    @property
    def faults(self) -> list[RowFault]:
        """The rows that failed, in order."""
        given_up = self.abandoned.faults if self.abandoned else ()
        return [*(fault for record in self.shards for fault in record.faults), *given_up]


def check(output: Path) -> None:
    """Make the folder; raises ``OutputError`` if it cannot be, or holds what is not of a run."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        foreign = sorted(path.name for path in output.iterdir() if path.name not in _OURS and path.name[:1] != ".")
    except OSError as error:
        raise OutputError(
            f"the folder cannot be made: {error.strerror}", where=str(output), fix="choose another with -o DIR"
        ) from error
    if foreign and not (output / SETUP).exists():
        raise OutputError("the folder holds something else than predictions", where=str(output),
                          got=", ".join(foreign[:5]), expected="an empty folder, none, or one of mlopt predict",
                          fix="choose another with -o DIR")  # fmt: skip


@contextmanager
def working(output: Path) -> Iterator[None]:
    """Have a private folder for what is of no use afterwards; before and after it, what a kill left is taken away."""
    _sweep(output)
    (output / WORK).mkdir(mode=0o700)
    (output / SHARDS).mkdir(exist_ok=True)
    try:
        yield
    finally:
        _sweep(output)


def _sweep(output: Path) -> None:
    for file in (output / SHARDS).glob(".*"):
        file.unlink(missing_ok=True)
    shutil.rmtree(output / WORK, ignore_errors=True)  # a node of a cluster may still write its log


def changed_meanwhile(output: Path, data: Path, done: Sequence[ShardRecord]) -> DataError:
    """Take back the shards that were done meanwhile, since nobody knows of which data they are; return the error."""
    for record in done:
        (output / SHARDS / f"{name_of(record.number)}.json").unlink()
    return DataError(
        "the data was changed while it was predicted", where=str(data), got=f"{len(done)} shards of both",
        expected="files that nobody writes to", fix="put it back and run the same command again, or use another -o DIR",
    )  # fmt: skip


def agree_early(output: Path, artifact: str, data: str) -> None:
    """Raise ``UserError`` if the folder is that of another artifact or other data, before the data is read."""
    stored = _stored(output)
    if stored is not None:
        _raise_for(output, stored.model_copy(update={"artifact": artifact, "data": data}), stored)


def agree(output: Path, setup: RunSetup, names: Sequence[str]) -> None:
    """Claim the folder for this run; raises ``UserError`` if it is that of another one."""
    stored = _stored(output)
    if stored is not None:
        _raise_for(output, setup, stored)
        return
    if names:
        write_atomic(output / NAMES, "".join(f"{name}\n" for name in names).encode(errors="surrogateescape"))
    write_json(output / SETUP, setup.model_dump(mode="json", by_alias=True))


def _stored(output: Path) -> RunSetup | None:
    file = output / SETUP
    try:
        return RunSetup.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise OutputError("what this folder is of cannot be read", where=str(file),
                          fix="choose another folder with -o DIR, or delete this one") from error  # fmt: skip


def _raise_for(output: Path, asked: RunSetup, stored: RunSetup) -> None:
    problems = [
        Problem(
            f"the folder is of another run: it differs in {_WORDS.get(key, key)}", str(output), got=mine,
            expected=other, fix=f"{_OPTIONS[key]} {other} goes on there; -o OTHER_DIR begins anew"
            if key in _OPTIONS else "give what it was begun with, or begin anew in another folder: -o OTHER_DIR",
        )
        for key, mine, other in asked.differences(stored)
    ]  # fmt: skip
    if problems:
        raise UserError.of(problems)


def finish(output: Path, setup: RunSetup, course: Headway, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write the errors and the summary, and return that. Raises ``OutputError``."""
    summary = _summary(output, setup, course, facts)
    try:
        write_atomic(output / ERRORS, _lines(course.faults))
        write_json(output / SUMMARY, summary)
    except OSError as error:
        raise OutputError(f"the summary could not be written: {error.strerror}", where=str(output),
                          fix="make room; the same command then goes on") from error  # fmt: skip
    return summary


def _lines(faults: Sequence[RowFault]) -> bytes:
    return "".join(json.dumps(fault.model_dump(), ensure_ascii=False) + "\n" for fault in faults).encode()


def _summary(output: Path, setup: RunSetup, course: Headway, facts: Mapping[str, Any]) -> dict[str, Any]:
    shards = course.shards
    here = sum(record.stop - record.start for record in course.done)
    complete = sum(record.stop - record.start for record in shards) == setup.rows
    return {
        "schema": "mlopt.predictions/v1", "state": "complete" if complete else "stopped", "mlopt": __version__,
        "created": now(), **facts, "settings": {"shard_rows": setup.shard_rows, "batch_size": setup.batch_size},
        "rows": setup.rows, "predicted": sum(record.predicted for record in shards), "failed": len(course.faults),
        "not_finite": sum(record.not_finite for record in shards), "errors": ERRORS,
        "shards_kept": len(course.kept), "shards_damaged": course.damaged, "shards_done": len(course.done),
        "seconds": round(course.seconds, 3), "rows_per_s": round(here / course.seconds, 2) if here else None,
        "cpu_hours": round(sum(record.cpu_seconds for record in shards) / 3600, 6),
        "host": {"name": platform.node(), "cpu": detect_cpu().cpu, "cores": os.cpu_count()},
        "run": setup.digest, "setup": SETUP, "output": str(output),
        "shards": [
            {"file": f"{SHARDS}/{each.file}", "start": each.start, "stop": each.stop, "predicted": each.predicted,
             "failed": [fault.row for fault in each.faults], "sha256": each.sha256, "outputs": dict(each.outputs)}
            for each in shards
        ],
    }  # fmt: skip
