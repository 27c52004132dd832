"""The runs of a recipe, on record in the cache: a line of JSON each, so that a replaced artifact is still known.

``history/NAME.jsonl`` holds the last thousand of a name, the newest at its end. It takes the place of the one before in
one step, under a lock. A line that is damaged is passed over, and counted. Nothing decides by these records.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, ValidationError

from mlopt.core.errors import OutputError
from mlopt.core.locks import locked
from mlopt.results.report import Report
from mlopt.results.section import Count, Interval, Section, Verdict

FOLDER = "history"
_MOST = 1000
_MOST_BYTES = 8 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class RunRecord(Section):
    """One run, and the artifact that it wrote."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    name: str
    """The recipe's."""
    date: str
    """When its report was made: UTC, ISO 8601."""
    artifact: str
    """Where its artifact was written."""
    version: Count
    verdict: Verdict
    signed: bool
    digest: str
    """Of the model."""
    runtime: str
    cpu: str
    gpu: str | None
    mlopt: str
    size_bytes: Count
    speedup: float
    speedup_ci95: Interval
    vs: str
    drop_pt: float | None
    drop_ci95: Interval | None


@dataclass(frozen=True)
class History:
    """What is on record, the newest first, and how many lines could not be read."""

    records: tuple[RunRecord, ...]
    damaged: int = 0


def record(report: Report, artifact: Path, version: int, *, signed: bool) -> RunRecord:
    """Return what is kept of a run."""
    final, drop, machine = report.final, report.accuracy_drop, report.environment
    return RunRecord(
        name=report.name, date=report.created, artifact=str(artifact.resolve()), version=version,
        verdict=report.verdict, signed=signed, digest=final.digest, runtime=final.runtime, cpu=machine.cpu.model,
        gpu=machine.gpu, mlopt=machine.mlopt, size_bytes=final.size_bytes, speedup=report.speedup.median,
        speedup_ci95=report.speedup.ci95, vs=report.speedup.vs, drop_pt=drop.pt if drop else None,
        drop_ci95=drop.ci95 if drop else None,
    )  # fmt: skip


def kept(root: Path, one: RunRecord) -> str | None:
    """Put a run on record; return why that was not possible, which takes nothing from its artifact."""
    try:
        keep(root, one)
    except (OSError, OutputError) as error:
        why = error.problems[0].what if isinstance(error, OutputError) else error.strerror
        return f"this run is not on record for `mlopt history`: {why}"
    return None


def keep(root: Path, one: RunRecord) -> None:
    """Add a run to the records in the cache at ``root``; raises ``OSError``, and ``OutputError`` as ``locked`` does."""
    with locked(root / "locks" / f"{FOLDER}-{one.name}"):
        folder = root / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = [*_lines(folder / _file(one.name))[1 - _MOST :], one.model_dump_json().encode()]
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{one.name}-", delete=False) as stream:
            try:
                stream.writelines(line + b"\n" for line in lines)
                stream.flush()
                os.fsync(stream.fileno())
                Path(stream.name).replace(folder / _file(one.name))
            except BaseException:
                Path(stream.name).unlink(missing_ok=True)
                raise


def of_name(root: Path, name: str) -> History:
    """Return the runs of a recipe's name; raises ``OSError``."""
    return _read([root / FOLDER / _file(name)] if _NAME.fullmatch(name) else [])


def of_artifact(root: Path, artifact: Path) -> History:
    """Return the runs that wrote an artifact at a place, whatever their names; raises ``OSError``."""
    found = _read(sorted((root / FOLDER).glob("*.jsonl")))
    place = str(artifact.resolve())
    return History(tuple(one for one in found.records if one.artifact == place), found.damaged)


def names(root: Path) -> list[str]:
    """Return the names that have records."""
    return sorted(path.stem for path in (root / FOLDER).glob("*.jsonl"))


def _read(files: Iterable[Path]) -> History:
    found: list[RunRecord] = []
    damaged = 0
    for file in files:
        for line in _lines(file):
            try:
                found.append(RunRecord.model_validate_json(line))
            except ValidationError:
                damaged += 1
    return History(tuple(sorted(found, key=lambda one: one.date)[::-1]), damaged)


def _lines(file: Path) -> list[bytes]:
    """Return the lines of a file, of one that is too large its end; none where there is no such file."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _MOST_BYTES))
            return [line for line in stream.read(_MOST_BYTES).split(b"\n") if line.strip()]
    except FileNotFoundError:
        return []


def _file(name: str) -> str:
    return f"{name}.jsonl"
