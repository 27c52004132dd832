"""One file for one artifact: ``pack`` writes it, ``unpack`` makes an artifact of it again.

The same artifact gives the same bytes on every machine; ``container`` has the format and the reasons for it. Nothing
is believed of an archive: only regular files with safe names come out of it, under a hidden name, and they become an
artifact only if they verify as one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlopt.artifact import layout
from mlopt.artifact.container import Member, after, check_header, directory, header, read_directory
from mlopt.artifact.files import open_regular, reading, said_of, shown, sync, writing
from mlopt.artifact.signing.base import GET_AGAIN
from mlopt.core.errors import IntegrityError, OutputError, UserError

if TYPE_CHECKING:
    from mlopt.artifact.verify import Verified

_CHUNK = 1 << 20


def pack(verified: Verified, out: Path) -> str:
    """Write the archive of a verified artifact to ``out``, whole or not at all, and return its SHA-256 in hexadecimal.

    A file at ``out`` is replaced. Raises ``IntegrityError`` when a file is no longer what was verified, and
    ``OutputError``.
    """
    check_outside(verified, out)
    temporary = out.with_name(f".{out.name}.{os.urandom(4).hex()}")
    with reading(verified.directory):
        members = [_measured(verified.directory, name) for name in contents(verified)]
    with writing(out):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                digest = _write(stream, verified, members, out)
            temporary.replace(out)
            sync([out.parent])
        finally:
            temporary.unlink(missing_ok=True)
    return digest


def unpack(file: Path, out: Path, check: Callable[[Path], Verified]) -> Verified:
    """Make the directory ``out`` of an archive, if ``check``, which verifies a directory, accepts what was in it.

    The files are extracted under a hidden name beside ``out`` and take its place in one step. An empty directory is
    replaced, and so is an artifact that is not newer; on any failure what was there stands untouched. Raises
    ``IntegrityError`` unless the archive is one that ``pack`` writes, ``UserError`` when there is no such file,
    ``OutputError`` when there is no room or no permission, and what ``check`` raises.
    """
    with _opened(file) as stream:
        members = read_directory(stream, str(file))
        with layout.replacing(out) as (new, version):
            _check_room(members, new, out)
            _extract(stream, members, new, str(file))
            with said_of(file, new):
                verified = check(new)
            if verified.manifest.version < version:
                raise OutputError(
                    "a newer artifact is there, and is not replaced", where=str(out), got=f"version {version}",
                    expected=f"at most version {verified.manifest.version}", fix="choose another directory with -o DIR",
                )  # fmt: skip
    return replace(verified, directory=out)


def contents(verified: Verified) -> list[str]:
    """Return the names of all files of a verified artifact, sorted: the signed ones, the signature, the claims."""
    unsigned = [name for name in layout.UNSIGNED if os.path.lexists(verified.directory / name)]
    return sorted([*verified.files, *unsigned])


def content(verified: Verified, name: str) -> Iterator[bytes]:
    """Give the bytes of a file, piece by piece; ``IntegrityError`` at their end if they are not what was verified.

    What an error of the system means depends on who reads on, so it is an ``OSError`` here.
    """
    digest = hashlib.sha256()
    for data in _pieces(verified.directory, name):
        digest.update(data)
        yield data
    if verified.files.get(name, digest.hexdigest()) != digest.hexdigest():
        raise _changed(verified.directory / name)


def check_outside(verified: Verified, out: Path) -> None:
    """Raise ``OutputError`` if ``out`` would become a file of the very artifact that goes into it."""
    if out.resolve().is_relative_to(verified.directory.resolve()):
        raise OutputError("this place is inside the artifact", where=str(out), fix="choose one outside it")


def _pieces(folder: Path, name: str) -> Iterator[bytes]:
    with open_regular(folder, name) as stream:
        while data := stream.read(_CHUNK):
            yield data


def _measured(folder: Path, name: str) -> Member:
    size = crc = 0
    for data in _pieces(folder, name):
        size, crc = size + len(data), zlib.crc32(data, crc)
    return Member(name, size, crc)


def _write(stream: BinaryIO, verified: Verified, members: Sequence[Member], out: Path) -> str:
    digest, offset = hashlib.sha256(), 0

    def put(data: bytes) -> None:
        digest.update(data)
        with writing(out):
            stream.write(data)

    for member in members:
        put(header(member, offset))
        size = crc = 0
        with reading(verified.directory):
            for data in content(verified, member.name):
                size, crc = size + len(data), zlib.crc32(data, crc)
                put(data)
        if Member(member.name, size, crc) != member:
            raise _changed(verified.directory / member.name)
        offset = after(member, offset)
    put(directory(members))
    stream.flush()
    os.fsync(stream.fileno())
    return digest.hexdigest()


def _changed(path: Path) -> IntegrityError:
    return IntegrityError("the file was changed after it was verified", where=str(path), fix="verify the artifact anew")


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(f"the archive cannot be read: {error.strerror}", where=str(file)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError("this is not a regular file", where=str(file), expected="a file that mlopt pack wrote")
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def _check_room(members: Sequence[Member], folder: Path, out: Path) -> None:
    needed, free = sum(member.size for member in members), shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            "there is no room for the artifact", where=str(out), got=f"{free} bytes free", expected=f"{needed} bytes",
            fix="make room, or choose another place with -o DIR",
        )  # fmt: skip


def _extract(stream: BinaryIO, members: Sequence[Member], folder: Path, where: str) -> None:
    """Write the files into an empty directory of our own; the headers and the CRCs must be those of ``members``."""
    offset = stream.seek(0)
    for member in members:
        check_header(stream, member, offset, where)
        path = folder / member.name
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        left, crc = member.size, 0
        with os.fdopen(descriptor, "wb") as out:
            while data := stream.read(min(left, _CHUNK)):
                left, crc = left - len(data), zlib.crc32(data, crc)
                out.write(data)
        if left or crc != member.crc:
            raise IntegrityError(
                f"a file in the archive is damaged: {shown(member.name)}", where=where,
                got=f"CRC-32 {crc:08x}", expected=f"CRC-32 {member.crc:08x}", fix=GET_AGAIN,
            )  # fmt: skip
        offset = after(member, offset)
