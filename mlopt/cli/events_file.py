"""Where the lines of ``--events`` go: a file of their own, a pipe, or a descriptor that the caller has opened.

Whoever reads them may be slow or leave, and the run must not wait for that: a write ends soon, or raises.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import select
import stat
from pathlib import Path

from mlopt.core.errors import OutputError

_LOG = logging.getLogger(__name__)

FAMILY = "mlopt.events/"
"""What the schema of every version begins with."""
HEAD = f'{{"schema": "{FAMILY}'.encode()
"""What every line of events begins with, so that a file of them is known by it."""
_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}
_PATIENCE_S = 5.0


class EventFile:
    """An open file that takes lines."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)

    def write(self, line: bytes) -> None:
        """Write all of a line; raises ``OSError``, of a pipe also where nobody reads on for five seconds.

        As much as a pipe with room takes at once is written at a time: more might wait for its reader.
        """
        while line:
            if not self._room.poll(_PATIENCE_S * 1000):
                raise TimeoutError(errno.ETIMEDOUT, "nobody reads on")
            line = line[os.write(self._descriptor, line[: select.PIPE_BUF]) :]

    def close(self) -> None:
        """Close it: whoever reads a pipe sees its end."""
        os.close(self._descriptor)


def opened(path: Path) -> EventFile:
    """Open ``path``, new or emptied; raises ``OutputError`` for a file of something else, ``OSError`` where it cannot.

    A named pipe waits for its reader. A descriptor that is open already (``/dev/fd/3``) is written to as it stands:
    were the file behind it opened anew, what others write to it would be overwritten.
    """
    number = _number(str(path))
    if number is not None:
        return EventFile(os.dup(number))
    kind = path.stat().st_mode if path.exists() else stat.S_IFREG
    if stat.S_ISFIFO(kind):
        return EventFile(_pipe(path))
    if not stat.S_ISREG(kind):
        return EventFile(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    return EventFile(_emptied(path))


def _number(path: str) -> int | None:
    found = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d{1,9})", path)
    return int(found[1]) if found else _STREAMS.get(path)


def _pipe(path: Path) -> int:
    """Open a named pipe; where nobody reads it yet, say so and wait."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        _LOG.warning("%s is a pipe that nobody reads: waiting for its reader", path)
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    return descriptor


def _emptied(path: Path) -> int:
    """Open a regular file and empty it, if there is nothing in it but events of an earlier run."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    if os.pread(descriptor, len(HEAD), 0) not in (b"", HEAD):
        os.close(descriptor)
        raise OutputError(
            "the file holds something else than events, and is not overwritten", where=str(path),
            expected="no file, an empty one, or the events of an earlier run",
            fix="name another file with --events, or remove this one",
        )  # fmt: skip
    os.ftruncate(descriptor, 0)
    return descriptor
