"""The program's two ends: streams that stand before it starts, and an end that cleans up, whatever ends it."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from types import FrameType

from mlopt.core.errors import ExitCode

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_PATIENCE_S = 5.0


def open_streams() -> None:
    """Let what was closed lead nowhere: otherwise the next file that is opened would take its number, and our text."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the program
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def end_in_order() -> None:
    """Let the signals that ask a program to end unwind it, so that temporary folders go; those ignored stay so.

    Native code that computes on does not let Python do that; after a few seconds the program ends all the same.
    """
    import threading

    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    threading.Thread(target=_end_at_last, args=(told,), daemon=True).start()
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end_at_last(told: int) -> None:
    while number := os.read(told, 1):
        if number[0] in _ENDING:
            time.sleep(_PATIENCE_S)
            os._exit(128 + number[0])


def _end(number: int, _frame: FrameType | None) -> None:
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def flushed(code: int) -> int:
    """Write out what is left of both streams; return the code, or that of a stream that takes no more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            code = unwritable(error)
    return code


def unwritable(error: OSError) -> int:
    """Return the code for a standard output that takes no more, and keep the text that is left from failing again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return ExitCode.PIPE_CLOSED
    sys.stderr.write(f"error: the output cannot be written: {error.strerror}\n")
    return ExitCode.USAGE


def is_of_a_stream(error: OSError) -> bool:
    """Whether an error is that of a standard stream: of files, the system says the name."""
    return error.filename is None and error.errno in {errno.ENOSPC, errno.EIO, errno.EPIPE, errno.EDQUOT, errno.EBADF}
