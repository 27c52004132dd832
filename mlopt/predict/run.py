"""A run of ``mlopt predict``: what is checked, in which order, and what is left to do after a kill.

The artifact and the data are looked at before anything is written. Then the folder belongs to this artifact, this data
and these settings; what is whole in it is kept, and the rest is computed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlopt import report as reports
from mlopt.artifact.layout import Role
from mlopt.artifact.signing.base import Trust
from mlopt.artifact.verify import Verified, verify
from mlopt.core.errors import IntegrityError
from mlopt.core.hardware import usable_cores
from mlopt.core.locks import locked
from mlopt.predict import folder as places
from mlopt.predict.crew import Crew, LocalCrew
from mlopt.predict.folder import Headway
from mlopt.predict.records import WORK, RunSetup, read_shard, was_begun
from mlopt.predict.rows import RowArrays, RowData, found, prepared
from mlopt.predict.shard_worker import Abandoned, ShardWork
from mlopt.predict.shards import Span, cut, default_size

Tell = Callable[[str, str, float | None], None]
"""Called with the stage, a detail of it, and the share of it that is done."""
MAX_ERRORS = 100


@dataclass(frozen=True)
class PredictRequest:
    """What is asked for; None: by the artifact, the machine or the number of rows."""

    artifact: Path
    data: Path
    output: Path
    trust: Trust | None = None
    shard_rows: int | None = None
    batch_size: int | None = None
    workers: int | None = None
    max_errors: int = MAX_ERRORS
    """More rows that fail end the run."""
    crew: Callable[[int], Crew] | None = None
    """Makes who computes, from the threads of one worker; None: processes of this machine."""


@dataclass(frozen=True)
class _Begun:
    """A folder that is this run's."""

    verified: Verified
    setup: RunSetup
    arrays: RowArrays
    work: ShardWork
    crew: Crew


def predict(request: PredictRequest, tell: Tell = lambda *_: None) -> dict[str, Any]:
    """Compute every row that is not computed yet; return the content of ``predictions.json``.

    Its ``state`` is ``complete``, or ``stopped`` when more rows failed than are accepted. Raises ``IntegrityError`` for
    an artifact that is not what was signed, ``DataError``, ``OutputError``, or ``UserError`` when the folder is that of
    another run.
    """
    tell("verify the artifact", "", None)
    verified = verify(request.artifact, request.trust)
    manifest = verified.manifest
    tell("read and digest the data", "", None)
    data = found(request.data, manifest.model.inputs, _lock(verified))
    places.check(request.output)
    lock = request.output / places.LOCK
    with locked(lock, wait=False, busy="another mlopt predict writes into this folder"), places.working(request.output):
        begun = _begin(request, verified, data, tell)
        course = _computed(request, begun, tell)
        if course.done and not data.is_as_found:
            raise places.changed_meanwhile(request.output, request.data, course.done)
        return places.finish(request.output, begun.setup, course, _facts(request, begun))


def _begin(request: PredictRequest, verified: Verified, data: RowData, tell: Tell) -> _Begun:
    """Claim the folder, or go on in it; copy the artifact, since what is opened must be what was verified."""
    output, root = request.output.resolve(), verified.root
    places.agree_early(output, root, data.digest)
    work = output / WORK
    copy = verify(request.artifact, request.trust, copy_to=work / "artifact")
    if copy.root != root:
        raise IntegrityError("the artifact was replaced meanwhile", where=str(request.artifact), fix="start again")
    tell("prepare the rows", "", None)
    arrays = prepared(data, verified.manifest.model.inputs, work / "inputs")
    batch_size = request.batch_size or _measured_batch(copy)
    rows = request.shard_rows or default_size(arrays.count, batch_size, arrays.row_bytes)
    setup = RunSetup(
        artifact=root, data=data.digest, reading=dict(data.reading), rows=arrays.count, shard_rows=rows,
        batch_size=batch_size,
    )  # fmt: skip
    places.agree(output, setup, arrays.names)
    files = {name: file.resolve() for name, file in arrays.files.items()}
    told = ShardWork(
        artifact=copy.directory, told=request.artifact, inputs=files, output=output, run=setup.digest,
        batch_size=batch_size, max_errors=request.max_errors,
    )  # fmt: skip
    return _Begun(verified, setup, arrays, told, _crew(request, verified))


def _computed(request: PredictRequest, begun: _Begun, tell: Tell) -> Headway:
    """Keep what is whole, and compute the rest until all is done or too much has failed."""
    course, rows = Headway(), begun.setup.rows
    todo = list(_left(request.output, begun.setup, course, tell))
    done = before = sum(record.stop - record.start for record in course.kept)
    began = time.perf_counter()
    if todo and not _too_many(course, request.max_errors):
        tell("predict", f"{done:,} of {rows:,} rows", done / rows)
        with closing(begun.crew.compute(begun.work, todo, request.output.resolve() / WORK / "workers")) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, Abandoned):
                    course.abandoned = outcome
                    break
                course.done.append(outcome)
                done += outcome.stop - outcome.start
                rate = (done - before) / (time.perf_counter() - began)
                tell("predict", f"{done:,} of {rows:,} rows, {rate:,.0f} rows/s", done / rows)
                if _too_many(course, request.max_errors):
                    break
    course.seconds = time.perf_counter() - began
    return course


def _left(output: Path, setup: RunSetup, course: Headway, tell: Tell) -> Iterator[Span]:
    """Yield the shards that are to be done; those that are whole go to ``course``."""
    spans = cut(setup.rows, setup.shard_rows)
    for span in spans:
        tell("look at what is done already", f"shard {span.number + 1:,} of {len(spans):,}", span.number / len(spans))
        record = read_shard(output, span.number)
        if record and (record.run, record.start, record.stop) == (setup.digest, span.start, span.stop):
            course.kept.append(record)
        else:
            course.damaged += was_begun(output, span.number)
            yield span


def _too_many(course: Headway, most: int) -> bool:
    return len(course.faults) > most


def _measured_batch(verified: Verified) -> int:
    """Return how many samples an inference had when the artifact was measured."""
    report = reports.read(verified.directory / verified.manifest.file_of(Role.REPORT))
    return report.final.batch_size or 1


def _crew(request: PredictRequest, verified: Verified) -> Crew:
    """Return who computes: by default as many workers as there are cores for, with the threads that were measured."""
    found = verified.manifest.options.get("threads")
    threads = found if isinstance(found, int) and found > 0 else usable_cores()
    if request.crew is not None:
        return request.crew(threads)
    return LocalCrew(request.workers or max(1, usable_cores() // threads))


def _lock(verified: Verified) -> Path:
    return verified.directory / "recipe.lock.yaml"


def _facts(request: PredictRequest, begun: _Begun) -> dict[str, Any]:
    manifest = begun.verified.manifest
    return {
        "artifact": {
            "path": str(request.artifact), "name": manifest.name, "version": manifest.version,
            "root": begun.verified.root, "signer": begun.verified.signer, "verdict": manifest.verdict,
        },
        "data": {"path": str(request.data), "sha256": begun.setup.data},
        "max_errors": request.max_errors, "workers": begun.crew.workers, "notes": list(begun.arrays.notes),
    }  # fmt: skip
