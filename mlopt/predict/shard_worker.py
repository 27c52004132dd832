"""What computes shards, in a process of its own: an open model, the mapped rows, and a place for what comes out.

Before each batch it notes the rows in a small file that outlives it: if the process dies, its parent knows what it was
at. Nothing here decides what then becomes of those rows.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.artifact.deployed import shipped
from mlopt.artifact.files import said_of
from mlopt.artifact.layout import read_manifest
from mlopt.core.errors import IntegrityError, OutputError
from mlopt.predict.records import SHARDS, RowFault, ShardRecord, file_digest, name_of, write_shard
from mlopt.predict.shards import Fault, Span, apart
from mlopt.runtimes.base import Deployable

if TYPE_CHECKING:
    from mlopt.predict.answers import Answers

_FLIGHT = struct.Struct("<qq")


@dataclass(frozen=True)
class ShardWork:
    """What every worker of a run is told; paths are absolute, and where work is spread, on a disk that all share."""

    artifact: Path
    """A copy that was verified, which nobody else writes to."""
    told: Path
    """What the user calls it."""
    inputs: Mapping[str, Path]
    """By input, the ``.npy`` file with its rows."""
    output: Path
    run: str
    """``RunSetup.digest``."""
    batch_size: int
    max_errors: int
    """A shard with more rows that fail is given up."""


@dataclass(frozen=True)
class Abandoned:
    """A shard with more failures than are accepted. Nothing of it is written."""

    span: Span
    faults: tuple[RowFault, ...]


class Flight:
    """The rows that a worker is at, in a file of 16 bytes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    def at(self, rows: Sequence[int]) -> None:
        """Note a batch: its first row, and one above its last; no rows: that none are computed."""
        if self._descriptor is None:
            self._descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.pwrite(self._descriptor, _FLIGHT.pack(rows[0], rows[-1] + 1) if rows else bytes(_FLIGHT.size), 0)

    @property
    def rows(self) -> range:
        """The rows between which the worker is, or was when it died; empty if it was at none."""
        try:
            return range(*_FLIGHT.unpack(self._file.read_bytes()))
        except (FileNotFoundError, struct.error):  # it died before it noted anything
            return range(0)


def _deployable(work: ShardWork) -> Deployable:
    manifest = read_manifest(work.artifact)
    found = shipped(work.artifact, manifest, work.told)
    if found.model.digest != manifest.model.digest:
        raise IntegrityError(
            "the model is not the one that the manifest describes", where=str(work.told / manifest.model.file),
            got=f"digest {found.model.digest}", expected=f"digest {manifest.model.digest}",
            fix="make the artifact again",
        )  # fmt: skip
    return found


class ShardWorker:
    """Lives in a worker's process, for as long as that."""

    def __init__(self, work: ShardWork, flight: Path) -> None:
        from mlopt.predict.answers import Answering
        from mlopt.predict.rows import mapped_rows
        from mlopt.runtimes.table import open_session

        self._work, self._flight, self._spent = work, Flight(flight), 0.0
        self._flight.at(())
        self._open = ExitStack()
        arrays = {name: mapped_rows(file) for name, file in work.inputs.items()}
        with said_of(work.told, work.artifact):
            deployable = _deployable(work)
            session = self._open.enter_context(open_session(deployable))
        self._answering = Answering(session, deployable.model.inputs, arrays, work.batch_size)

    def attempt(self, rows: Sequence[int]) -> None:
        """Compute rows for nothing but to see whether the process survives it."""
        self._noted(rows)
        self._flight.at(())

    def shard(self, span: Span, spared: Mapping[int, str]) -> ShardRecord | Abandoned:
        """Compute a shard and write it, without the rows that end the process: ``spared``, each with the reason."""
        began = time.perf_counter()
        done: list[int] = []
        parts: Answers = {}
        faults = [RowFault(row=row, error=message) for row, message in sorted(spared.items())]
        for rows, found in self._computed([row for row in span.rows if row not in spared]):
            if isinstance(found, Fault):
                faults.append(RowFault(row=rows[0], error=found.message))
                if len(faults) > self._work.max_errors:
                    return Abandoned(span, tuple(faults))
                continue
            done += rows
            for name, outputs in found.items():
                parts.setdefault(name, []).extend(outputs)
        self._flight.at(())
        return self._written(span, done, parts, faults, began)

    def _computed(self, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Answers | Fault]]:
        size = self._answering.batch_size
        for start in range(0, len(rows), size):
            yield from apart(rows[start : start + size], self._noted)

    def _noted(self, rows: Sequence[int]) -> Answers | Fault:
        self._flight.at(rows)
        return self._answering.answers(rows)

    def _written(
        self, span: Span, rows: Sequence[int], parts: Answers, faults: Sequence[RowFault], began: float
    ) -> ShardRecord:
        from mlopt.predict import shard_file
        from mlopt.predict.answers import joined, rows_not_finite

        names = shard_file.array_names(list(parts))
        outputs = {names[name]: joined(each) for name, each in parts.items()}
        file = self._work.output / SHARDS / f"{name_of(span.number)}.npz"
        try:
            shard_file.write(file, rows, outputs)
            record = ShardRecord(
                run=self._work.run, number=span.number, start=span.start, stop=span.stop, file=file.name,
                sha256=file_digest(file), bytes=file.stat().st_size, predicted=len(rows),
                faults=tuple(sorted(faults, key=lambda fault: fault.row)),
                not_finite=rows_not_finite(list(outputs.values())), outputs=tuple(names.items()),
                seconds=round(time.perf_counter() - began, 6), cpu_seconds=round(self._cpu_seconds(), 6),
                host=socket.gethostname(),
            )  # fmt: skip
            return write_shard(self._work.output, record)
        except OSError as error:
            raise OutputError(f"the shard could not be written: {error.strerror}", where=str(file),
                              fix="make room; the same command then goes on") from error  # fmt: skip

    def _cpu_seconds(self) -> float:
        """Return the user and system time of this process since it was last asked."""
        before, self._spent = self._spent, time.process_time()
        return self._spent - before
