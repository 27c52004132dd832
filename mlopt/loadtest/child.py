"""``mlopt serve`` of an artifact as a child of the load test: started on a free port, and ended with it."""

from __future__ import annotations

import logging
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mlopt.core.errors import UserError
from mlopt.core.worker import child_environment

_LOG = logging.getLogger(__name__)
_SERVING = re.compile(r"(?:serving|listening) on (http://\S+)")
_READY_S, _END_S = 120.0, 30.0
_LAST_LINES = 5


def command(artifact: Path, trusted: Sequence[str] = ()) -> list[str]:
    """Return how the server is started; ``trusted`` are the options that say whose signature counts."""
    return [sys.executable, "-m", "mlopt", "serve", str(artifact), "--port", "0", *trusted]


@contextmanager
def serving(start: Sequence[str], patience_s: float = _READY_S) -> Iterator[str]:
    """Give the address of a server that this starts; raises ``UserError`` if it does not come up.

    It is asked to end by SIGTERM, and after half a minute ended.
    """
    child = subprocess.Popen(
        start, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=child_environment()
    )
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(child.stdout, lines.put), daemon=True)
    try:
        reader.start()
        yield _address(lines, child, patience_s)
    finally:
        _end(child)
        reader.join()


def _read(stream: IO[bytes] | None, take: Callable[[str | None], None]) -> None:
    """Read to the end: a server whose messages nobody takes stops."""
    if stream is not None:
        with stream:
            for line in stream:
                take(line.decode(errors="replace").rstrip())
    take(None)


def _address(lines: queue.SimpleQueue[str | None], child: subprocess.Popen[bytes], patience_s: float) -> str:
    end, said = time.monotonic() + patience_s, list[str]()
    while (left := end - time.monotonic()) > 0:
        try:
            line = lines.get(timeout=left)
        except queue.Empty:
            break
        if line is None:
            raise _failed(f"it ended with code {child.wait()}", said)
        said.append(line)
        found = _SERVING.search(line)
        if found is not None:
            return found[1].rstrip("/")
    raise _failed(f"it said nothing of an address for {patience_s:g} s", said)


def _failed(what: str, said: Sequence[str]) -> UserError:
    return UserError(
        "the server of the artifact did not come up", where="mlopt serve",
        got="; ".join([what, *said[-_LAST_LINES:]])[:1000], fix="mlopt serve ARTIFACT says more",
    )  # fmt: skip


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_END_S)
    except subprocess.TimeoutExpired:
        _LOG.warning("the server did not end within %g s, and was killed", _END_S)
        child.kill()
        child.wait()
