"""Locks among processes. The kernel frees them when their holder dies, so none is ever left behind.

A lock's file stays, or is removed by who holds it: then whoever waited for it finds it gone, and takes the new one. It
lies where others may write as well, so it is opened without following a link and never written to: whatever stands
under its name keeps its content.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mlopt.core.errors import OutputError


@contextlib.contextmanager
def locked(
    file: Path, *, shared: bool = False, wait: bool = True, busy: str = "", remove: bool = False
) -> Iterator[None]:
    """Hold ``file`` locked; with ``remove`` it is gone afterwards, unless somebody wrote into it.

    All who lock a file must agree on ``remove``, which cannot be ``shared``. Raises ``OutputError`` without ``wait``
    while another process holds it, and when something else than a plain file has its name; ``OSError`` when it cannot
    be made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    descriptor = _held(file, mode, busy)
    while remove and not _is_there(file, descriptor):  # whoever held it before has removed it
        os.close(descriptor)
        descriptor = _held(file, mode, busy)
    try:
        yield
    finally:
        if remove:
            _remove(file, descriptor)
        os.close(descriptor)


def _held(file: Path, mode: int, busy: str) -> int:
    """Return a descriptor that holds the lock."""
    descriptor = _open(file)
    try:
        fcntl.flock(descriptor, mode)
    except BaseException as error:
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            raise
        raise OutputError(busy or "another process holds the lock", where=str(file), fix="wait for it") from error
    return descriptor


def _is_there(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.lstat())
    except FileNotFoundError:
        return False


def _remove(file: Path, descriptor: int) -> None:
    if os.fstat(descriptor).st_size == 0 and _is_there(file, descriptor):
        with contextlib.suppress(OSError):  # a folder that is not ours any more: the file does no harm
            file.unlink()


def _open(file: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # NFS locks only what is writable
    try:
        descriptor = os.open(file, flags, 0o644)
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:
            raise
        raise _taken(file) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _taken(file)
    return descriptor


def _taken(file: Path) -> OutputError:
    return OutputError(
        "something stands where the lock's file belongs", where=str(file), got="a link, a folder or a device",
        expected="a plain file, or nothing", fix="look at it, and move it away",
    )  # fmt: skip
