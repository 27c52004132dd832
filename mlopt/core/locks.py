"""Locks among processes. The kernel frees them when their holder dies, so none is ever left behind.

A lock's file stays, since deleting it lets two holders in. It lies where others may write as well, so it is opened
without following a link and never written to: whatever stands under its name keeps its content.
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
def locked(file: Path, *, shared: bool = False, wait: bool = True, busy: str = "") -> Iterator[None]:
    """Hold ``file`` locked.

    Raises ``OutputError`` without ``wait`` while another process holds it, and when something else than a plain file
    has its name; ``OSError`` when it cannot be made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open(file)
    try:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, mode if wait else mode | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(busy or "another process holds the lock", where=str(file), fix="wait for it") from error
        yield
    finally:
        os.close(descriptor)


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
