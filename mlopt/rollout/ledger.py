"""The ledger's file: lines are added at its end, under a lock, on disk before anything goes on; none is ever changed.

A process that is killed while it writes leaves part of a line. That part is told of, put aside as it is when the next
line is written, and its digest is noted in that line.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.artifact.files import sync, write_atomic
from mlopt.artifact.signing.base import Opened, Trust, UnknownSignerError
from mlopt.core.errors import IntegrityError, OutputError, UserError
from mlopt.core.locks import locked
from mlopt.rollout.chain import NOTHING_BEFORE, ChainLink, RolloutRecord, digest_of, follow, statement

if TYPE_CHECKING:
    from mlopt.artifact.signing.signers import Signer

MAX_BYTES = 64 << 20
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True)
class AnyTrust:
    """Believes each of several, for a ledger that more than one person writes."""

    each: Sequence[Trust]

    def open(self, data: bytes, where: str) -> Opened:
        """Open a bundle of any of them; the last one says what was expected."""
        for trust in self.each[:-1]:
            with suppress(UnknownSignerError):
                return trust.open(data, where)
        return self.each[-1].open(data, where)


@dataclass(frozen=True)
class LedgerContent:
    """All lines that hold, and the part of one that a killed process left."""

    links: tuple[ChainLink, ...]
    torn: bytes = b""
    size: int = 0
    """Bytes of the whole lines."""
    unended: bool = False
    """The last line is whole but for its newline."""

    @property
    def records(self) -> tuple[RolloutRecord, ...]:
        """What the lines say."""
        return tuple(link.record for link in self.links)

    @property
    def head(self) -> str:
        """The digest of the last line."""
        return self.links[-1].digest if self.links else NOTHING_BEFORE


def read(path: Path, trust: Trust, *, missing_ok: bool = False) -> LedgerContent:
    """Return what the ledger says, every line checked; waits while a line is being written.

    Raises ``UserError`` when there is no such file, ``IntegrityError`` when a line does not hold.
    """
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH)
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        if missing_ok:
            return LedgerContent(())
        raise UserError("there is no ledger here", where=str(path), fix="`mlopt rollout start` begins one") from error
    except OSError as error:
        raise UserError(f"the ledger cannot be read: {error.strerror}", where=str(path)) from error
    return parse(data, trust, str(path))


def parse(data: bytes, trust: Trust, where: str) -> LedgerContent:
    """Return what a ledger of these bytes says; raises ``IntegrityError``."""
    if len(data) > MAX_BYTES:
        raise IntegrityError("the ledger is too large", where=where, expected=f"at most {MAX_BYTES} bytes")
    *lines, rest = data.split(b"\n")
    links = tuple(follow(lines, trust, where))
    if rest and _is_next(lines, rest, trust, where):
        return LedgerContent(tuple(follow([*lines, rest], trust, where)), size=len(data), unended=True)
    return LedgerContent(links, rest, len(data) - len(rest))


def _is_next(lines: list[bytes], rest: bytes, trust: Trust, where: str) -> bool:
    """Whether what has no newline is a whole line all the same; the chain before it holds."""
    try:
        return bool(tuple(follow([*lines, rest], trust, where)))
    except IntegrityError:
        return False


def append(path: Path, trust: Trust, signer: Signer, said: dict[str, Any]) -> ChainLink:
    """Sign what is said and add it as the last line; it is on disk when this returns.

    ``said`` has the fields of a record but its number, its time and the digest of the line before. Raises
    ``IntegrityError`` when the ledger does not hold, ``OutputError`` when it cannot be written; then it is as it was.
    """
    with _opened(path) as descriptor:
        content = parse(_whole(descriptor), trust, str(path))
        if content.torn:
            said = {**said, "detail": {**said.get("detail", {}), "torn": _put_aside(path, content.torn)}}
            os.ftruncate(descriptor, content.size)
        record = RolloutRecord(number=len(content.links), previous=content.head, time=_now(), **said)
        line = signer.sign(statement(record))
        _write(descriptor, b"\n" * content.unended + line)
    sync([path.parent])
    return ChainLink(record, signer.name, digest_of(line.removesuffix(b"\n")))


@contextmanager
def stepping(path: Path) -> Iterator[None]:
    """Hold the ledger for a whole step, so that no two change the target at once. Raises ``OutputError``."""
    busy = "another step is under way"
    try:
        with locked(path.with_name(f".{path.name}.lock"), wait=False, busy=busy, remove=True):
            yield
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, _FLAGS, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unwritable(path, error) from error


def _whole(descriptor: int) -> bytes:
    """Return all that is in the file, or more than there may be."""
    found = bytearray()
    while len(found) <= MAX_BYTES and (data := os.pread(descriptor, 1 << 20, len(found))):
        found += data
    return bytes(found)


def _write(descriptor: int, data: bytes) -> None:
    """Write all of it or nothing, and to disk."""
    size = os.fstat(descriptor).st_size
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _put_aside(path: Path, torn: bytes) -> dict[str, Any]:
    """Keep part of a line beside the ledger, and return what is noted of it."""
    digest = digest_of(torn)
    aside = path.with_name(f"{path.name}.torn-{digest[:12]}")
    with suppress(FileExistsError):  # the process that put it aside was killed before it wrote its own line
        write_atomic(aside, torn, replace=False)
    return {"file": aside.name, "sha256": digest, "bytes": len(torn)}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"the ledger cannot be written: {error.strerror}", where=str(path), fix="choose another with --ledger FILE"
    )
