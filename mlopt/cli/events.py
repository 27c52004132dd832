"""``--events FILE``: what a command does, as it does it, in lines of JSON for programs that follow it (docs/ci.md).

Every command has its first and its last event, and each stage that people are shown (``mlopt.cli.progress``) its own.
Events are worth no run: once a line cannot be written, that is logged, and no more of them are.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlopt import __version__
from mlopt.cli import events_file
from mlopt.core.errors import OutputError
from mlopt.core.foreign_text import as_json, plain

_LOG = logging.getLogger(__name__)

SCHEMA = f"{events_file.FAMILY}v1"
COMMON = ("schema", "seq", "time", "elapsed_s", "verb", "kind")
"""The fields of every event; ``schema`` is the first, by which a file of events is known."""
KINDS: Mapping[str, tuple[str, ...]] = {
    "started": ("version", "pid"),
    "stage": ("stage", "detail", "share"),
    "progress": ("stage", "detail", "share"),
    "message": ("text",),
    "stage_ended": ("stage", "seconds"),
    "ended": ("exit_code", "error"),
}
"""Each kind of event, and the fields that it has beside those."""
_OFTEN_S = 0.2
_LONGEST = 1000
_LOST = "events: %s; the run goes on, and no more of it is written there"

_State = tuple[str, float | None]
"""Detail and share, as they are written."""


@dataclass
class _Stage:
    name: str
    began: float
    state: _State
    told: _State
    """The state that was written last, and when."""
    told_at: float


class EventLog:
    """The events of one command, numbered from 0.

    ``write`` takes a line, and may raise ``OSError``; without it nothing is written. ``clock`` gives seconds.
    """

    def __init__(
        self, verb: str = "", write: Callable[[bytes], None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._verb, self._write, self._clock = verb, write, clock
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._began = clock()
        self._seq = 0
        self._stage: _Stage | None = None
        self._error: str | None = None

    def start(self) -> None:
        """Write the first event; raises ``OSError``, as nothing is lost yet."""
        self._put("started", __version__, self._pid)

    def update(self, stage: str, detail: str = "", share: float | None = None) -> None:
        """Say what is done now, as of ``Progress.update``; of one stage, five times a second and its last state."""
        with self._lock:
            state = _text(detail), _share(share)
            if self._stage is not None and self._stage.name == stage:
                self._stage.state = state
                self._progress()
                return
            self._close()
            now = self._clock()
            self._stage = _Stage(stage, now, state, state, now)
            self._tell("stage", _text(stage), *state)

    def beat(self) -> None:
        """Write the state that came too soon after the one before it, if that is over."""
        with self._lock:
            self._progress()

    def message(self, text: str) -> None:
        """Write a line that is no stage."""
        with self._lock:
            self._tell("message", _text(text))

    def close_stage(self) -> None:
        """Say that the stage at hand, if there is one, is over."""
        with self._lock:
            self._close()

    def fail(self, error: str) -> None:
        """Keep the message of the error that ends the command, for its last event."""
        self._error = _text(error)

    def end(self, code: int) -> None:
        """Write the last event."""
        with self._lock:
            self._close()
            self._tell("ended", code, self._error)
            self._write = None

    def _close(self) -> None:
        self._progress(last=True)
        stage, self._stage = self._stage, None
        if stage is not None:
            self._tell("stage_ended", _text(stage.name), round(self._clock() - stage.began, 3))

    def _progress(self, *, last: bool = False) -> None:
        stage, now = self._stage, self._clock()
        if stage is not None and stage.state != stage.told and (last or now - stage.told_at >= _OFTEN_S):
            stage.told, stage.told_at = stage.state, now
            self._tell("progress", _text(stage.name), *stage.state)

    def _tell(self, kind: str, *values: object) -> None:
        """Write an event; the first that cannot be written is the last that is tried."""
        try:
            self._put(kind, *values)
        except OSError as error:
            self._write = None
            _LOG.warning(_LOST, error.strerror or error)

    def _put(self, kind: str, *values: object) -> None:
        if self._write is not None and os.getpid() == self._pid:  # what a recipe's Python forks has the file, too
            self._write(self._line(kind, values))
            self._seq += 1

    def _line(self, kind: str, values: tuple[object, ...]) -> bytes:
        from datetime import UTC, datetime

        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        common = (SCHEMA, self._seq, now, round(self._clock() - self._began, 3), self._verb, kind)
        fields = dict(zip((*COMMON, *KINDS[kind]), (*common, *values), strict=True))
        return f"{as_json(fields, indent=None)}\n".encode()


def _text(text: str) -> str:
    """Return text as people are shown it, on one line; much text is cut."""
    return plain(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")


def _share(share: float | None) -> float | None:
    return None if share is None or math.isnan(share) else round(float(min(max(share, 0.0), 1.0)), 4)


_open: list[tuple[EventLog, events_file.EventFile]] = []
"""Those of the command at hand, if it has ``--events``."""


def current() -> EventLog:
    """Return the events of the command at hand: of one that nobody follows, some that are not written."""
    return _open[-1][0] if _open else EventLog()


def begin(verb: str, path: Path) -> None:
    """Open the file and write the first event; raises ``OutputError`` where that cannot be done."""
    try:
        file = events_file.opened(path)
        log = EventLog(verb, file.write)
        log.start()
    except OSError as error:
        raise OutputError(
            f"events cannot be written here: {error.strerror}", where=str(path),
            fix="--events FILE, in a folder that is there and can be written to",
        ) from error  # fmt: skip
    _open.append((log, file))


def end(code: int) -> None:
    """Write the last event of the command at hand, and close its file."""
    while _open:
        log, file = _open.pop()
        log.end(code)
        try:
            file.close()
        except OSError as error:  # a network's file system may only now find that it is full
            _LOG.warning(_LOST, error.strerror)
