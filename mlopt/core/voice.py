"""What a child process tells its parent while it works: how far it is, and what the Python of others prints.

In a child both go up the pipe to the parent, from grandchildren too. In the process of the command they go to whoever
listens (``heard``); nobody hears what is told elsewhere.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

Hear = Callable[[str, float | None], None]
"""Called with how far a child is: in words, and as a share of its work, 0 to 1."""
Say = Callable[[str], None]
"""Called with a line that somebody's Python printed."""

_OFTEN_SECONDS = 0.2
_LONGEST_LINE = 500


def unheard(_text: str, _share: float | None = None) -> None:
    """Hear nothing."""


def unsaid(_line: str) -> None:
    """Read nothing."""


class Pipe(Protocol):
    """The way to the parent."""

    def send(self, obj: Any) -> None:
        """Send a message."""
        ...


@dataclass(frozen=True)
class Listener:
    """Who hears the children of this process."""

    hear: Hear = unheard
    say: Say = unsaid


@dataclass
class _Up:
    """The pipe to the parent, which one thread of one process writes to at a time."""

    pipe: Pipe
    pid: int
    lock: threading.Lock

    def send(self, verb: str, value: Any) -> None:
        if os.getpid() == self.pid:  # a process that user code forked shares the pipe, and would garble it
            with self.lock, contextlib.suppress(OSError):
                self.pipe.send((verb, value))


_up: _Up | None = None
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def connect(pipe: Pipe) -> None:
    """Be a child: what is told from now on goes to the parent."""
    global _up  # noqa: PLW0603 - a process has one parent
    _up = _Up(pipe, os.getpid(), threading.Lock())


def answer(pipe: Pipe, verb: str, value: Any) -> None:
    """Send the parent a result; unlike what is told, it must arrive, or raise."""
    lock = contextlib.nullcontext() if _up is None else _up.lock
    with lock:
        pipe.send((verb, value))


@contextlib.contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Let ``listener`` hear the children that are started within."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def listener() -> Listener:
    """Return who hears children that are started now: of a child's own children, its parent."""
    return _listener.get() or Listener(tell, _pass_on)


def tell(text: str, share: float | None = None) -> None:
    """Tell how far the work is."""
    if _up is not None:
        _up.send("told", (text, share))
    elif (found := _listener.get()) is not None:
        found.hear(text, share)


def _pass_on(line: str) -> None:
    if _up is not None:
        _up.send("printed", line)


@dataclass
class Count:
    """Tells how many of so many are done, at most a few times a second: ``Count("running samples", 400)(12)``."""

    what: str
    total: int
    clock: Callable[[], float] = time.monotonic
    _told_at: float = float("-inf")

    def __call__(self, done: int) -> None:
        """Tell that so many are done."""
        now = self.clock()
        if now - self._told_at >= _OFTEN_SECONDS:
            self._told_at = now
            tell(f"{self.what} {done:,} of {self.total:,}", done / max(1, self.total))


class Echo(io.TextIOBase):
    """Standard output that goes to a file as ever, and line by line to the parent."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._line = stream, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def writable(self) -> bool:
        """Be written to."""
        return True

    def fileno(self) -> int:
        """Return that of the file."""
        return self._stream.fileno()

    def flush(self) -> None:
        """Flush the file."""
        self._stream.flush()

    def write(self, text: str) -> int:
        """Write to the file, and pass on each line that is whole."""
        self._stream.write(text)
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            _pass_on(line[:_LONGEST_LINE])
        self._line = self._line.rpartition("\r")[2][:_LONGEST_LINE]  # what a progress bar wrote over is gone
        return len(text)
