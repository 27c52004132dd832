"""SHA-256 of files, each read once for as long as it stays as it is: a model is digested at every door.

The file system says when a file was last written, or its name or owner changed (``ctime``), and nobody can set that
back. Its clock ticks a few hundred times a second, so what changed within the last seconds is read again.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

_SETTLED_NS = 2_000_000_000
_MOST = 4096
_known: dict[tuple[int, int, int, int, int], str] = {}


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal, as ``sha256sum`` prints it; raises ``OSError``."""
    with path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        key = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        if (found := _known.get(key)) is not None:
            return found
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if time.time_ns() - status.st_ctime_ns > _SETTLED_NS and _unchanged(path, status):
        if len(_known) >= _MOST:
            _known.clear()
        _known[key] = found
    return found


def forget() -> None:
    """Read every file again that is asked for from now on: for who must know that nothing has changed, whatever wrote.

    A process that has a file mapped can write to it for a while before the file system says so.
    """
    _known.clear()


def _unchanged(path: Path, before: os.stat_result) -> bool:
    """Whether a file is as it was before it was read."""
    now = path.stat()
    return (now.st_ino, now.st_size, now.st_ctime_ns) == (before.st_ino, before.st_size, before.st_ctime_ns)
