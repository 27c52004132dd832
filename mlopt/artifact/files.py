"""Reading a directory that may have been tampered with, and writing files that are either whole or absent.

Every check is made on the open file, not on its name, so nothing can be exchanged between the check and the read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import IntegrityError, MloptError, OutputError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from io import BufferedReader
    from pathlib import Path

    from pydantic import ValidationError

MAX_ENTRIES = 10_000
_CHUNK = 1 << 20
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@-]{0,199}")


def is_safe(name: str) -> bool:
    """Whether ``name`` may name a file of an artifact: a relative POSIX path of plain, visible ASCII names.

    A leading dot is refused because other verifiers of the format skip ``.git*``.
    """
    return len(name) <= 1000 and all(_PART.fullmatch(part) for part in name.split("/"))


def shown(text: object) -> str:
    """Return untrusted text as it may be printed: quoted, plain ASCII, without control characters, not too long."""
    quoted = ascii(text)
    return quoted if len(quoted) <= 200 else f"{quoted[:197]}..."


@contextmanager
def reading(directory: Path) -> Iterator[None]:
    """Guard the reading of an artifact: what the system refuses becomes an error that says so.

    Raises ``UserError`` when there is no such directory, ``IntegrityError`` when something in it cannot be read.
    """
    try:
        if not directory.is_dir():
            raise UserError(
                "the artifact does not exist", where=str(directory), expected="a directory", fix="check the path"
            )
        yield
    except OSError as error:
        raise IntegrityError(
            f"the artifact cannot be read: {error.strerror}", where=str(error.filename or directory),
            fix="check its owner and permissions, or copy it again",
        ) from error  # fmt: skip


@contextmanager
def said_of(original: Path, held: Path) -> Iterator[None]:
    """Let problems that are found in ``held``, which is hidden, name what it was copied or extracted from."""
    try:
        yield
    except MloptError as error:
        if held == original:
            raise
        told = (
            replace(problem, where=problem.where and problem.where.replace(str(held), str(original), 1))
            for problem in error.problems
        )
        raise type(error).of(told) from error


def list_files(directory: Path) -> tuple[str, ...]:
    """Return the names, relative to ``directory`` and sorted, of everything in it that is not a directory.

    Links are listed, never followed; more than ``MAX_ENTRIES`` are refused. Raises ``IntegrityError`` on an empty
    subdirectory.
    """
    names: list[str] = []
    waiting, seen = [""], 0
    while waiting:
        prefix = waiting.pop()
        with os.scandir(directory / prefix) as found:
            entries = list(islice(found, MAX_ENTRIES + 1))
        seen += len(entries)
        if seen > MAX_ENTRIES:
            raise IntegrityError("there are too many files", where=str(directory), expected=f"at most {MAX_ENTRIES}")
        if prefix and not entries:
            raise IntegrityError(
                f"the directory {shown(prefix)} is empty: an artifact has no empty directories",
                where=str(directory), fix="remove it",
            )  # fmt: skip
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{name}/")
            else:
                names.append(name)
    return tuple(sorted(names))


def open_regular(directory: Path, name: str) -> BufferedReader:
    """Open a file of an artifact for reading; raises ``IntegrityError`` unless it is one regular file with one name."""
    path = directory / name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = "it is a symbolic link" if path.is_symlink() else error.strerror
        raise _not_plain(path, reason) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        regular = stat.S_ISREG(status.st_mode)
        raise _not_plain(path, f"it has {status.st_nlink} names (hard links)" if regular else "it is no regular file")
    return os.fdopen(descriptor, "rb")


def _not_plain(path: Path, reason: str | None) -> IntegrityError:
    return IntegrityError(
        f"the file cannot be trusted: {reason}", where=str(path), expected="a regular, readable file of its own",
        fix="copy the artifact again, as plain files",
    )  # fmt: skip


def read_capped(directory: Path, name: str, limit: int) -> bytes:
    """Return the content of a file of at most ``limit`` bytes."""
    with open_regular(directory, name) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise IntegrityError("the file is too large", where=str(directory / name), expected=f"at most {limit} bytes")
    return data


def hash_files(directory: Path, names: Iterable[str], *, copy_to: Path | None = None) -> dict[str, str]:
    """Return the SHA-256 of each file in hexadecimal, in the order of ``names``; several large files at once.

    With ``copy_to``, an existing directory, the very bytes that are hashed are also written there, under the same
    names. The files are streamed, never held in memory. Raises ``OutputError`` when the copy cannot be written.
    """
    names = tuple(names)
    hash_one = partial(sha256, directory, copy_to=copy_to)
    workers = min(len(os.sched_getaffinity(0)), sum(_is_large(directory / name) for name in names))
    if workers < 2:
        return {name: hash_one(name) for name in names}
    from concurrent.futures import ThreadPoolExecutor  # hashlib lets other threads run; small files are not worth it

    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(names, pool.map(hash_one, names), strict=True))


def sha256(directory: Path, name: str, *, copy_to: Path | None = None) -> str:
    """Return the SHA-256 of one file in hexadecimal, and copy it meanwhile; see ``hash_files``."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    with open_regular(directory, name) as stream, creating(copy_to, name) as write:
        while size := stream.readinto(buffer):
            digest.update(buffer[:size])
            write(buffer[:size])
    return digest.hexdigest()


def _is_large(path: Path) -> bool:
    try:
        return path.lstat().st_size >= _CHUNK
    except OSError:  # opening it will say why
        return False


@contextmanager
def creating(folder: Path | None, name: str) -> Iterator[Callable[[memoryview], None]]:
    """Give what writes to the new file ``name`` in ``folder``, for its owner alone; without a folder, to nowhere.

    Missing directories between the two are made. Raises ``OutputError``, lest it be taken for an error of reading.
    """
    if folder is None:
        yield lambda _: None
        return
    path = folder / name

    def write(data: memoryview) -> None:
        with writing(path):
            while data:
                data = data[os.write(descriptor, data) :]

    with writing(path):
        for parent in reversed(path.relative_to(folder).parents[:-1]):
            (folder / parent).mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield write
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Guard the writing of a copy: what the system refuses becomes an ``OutputError``."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the copy could not be written: {error.strerror}", where=str(path),
            fix="make room, or choose another place",
        ) from error  # fmt: skip


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """Parse one JSON object that every parser reads alike: UTF-8, no key twice, no NaN or infinity."""
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_no_key_twice, parse_constant=_no_constant, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:  # ValueError: JSON and UTF-8 errors, integers of thousands of digits
        raise IntegrityError("the file is not valid JSON", where=where, got=shown(str(error))) from error
    if not isinstance(value, dict):
        raise IntegrityError("the file is not a JSON object", where=where, got=type(value).__name__)
    return value


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key occurs twice")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text} is too large a number")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def first_problem(error: ValidationError) -> str:
    """Say in one line what a pydantic model refused first; the refused text itself is not repeated raw."""
    details = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{shown('.'.join(map(str, details['loc'])))}: {details['msg']}"


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, replace: bool = True) -> None:
    """Write a file so that it is whole or absent, whatever happens, and on disk when this returns.

    Without ``replace``, ``FileExistsError`` is raised when the file is there already, also when another process was
    faster by a hair. Raises ``OSError``; the caller knows what the file was for.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if replace:
            temporary.replace(path)
        else:
            path.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)
    sync([path.parent])


def sync(paths: Iterable[Path]) -> None:
    """Force files and directories to disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
