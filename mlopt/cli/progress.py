"""What a person sees while work goes on: in a terminal a line that moves with the clock, in a log one now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from mlopt.cli import events

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

_QUIET_SECONDS = 1.0  # what is over by then needs no bar
_LOG_SECONDS = 10.0
_TOLD_FROM_SECONDS = 2.0  # in a log: a stage that took as long has a line for its end
_MOST_PRINTED = 20  # lines of others in a second
_LEAST_SHARE = 0.02  # below it the time left is a guess
_BAR_WIDTH = 16


class Progress:
    """Shows the stage at hand: a line for each new one and, under the last, how far it is and for how long it goes on.

    In a terminal that is one moving line, which is gone at the end. In a log it is a plain line every ten seconds,
    whether or not there is news, and one for the end of what took two. Whatever it is, the command's events have all of
    it. ``clock`` gives seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._live: Live | None = None
        self._started = self._stage_started = self._stage_began = self._logged = clock()
        self._stage, self._detail = "", ""
        self._share: float | None = None
        self._events = events.current()
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._printed: tuple[int, int] = (0, 0)
        """The second in which others printed last, and how many lines in it."""
        self._from = 0.0
        """The share at which the part of the stage at hand began: a stage may have several, one after another."""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(get_renderable=self.line, console=self._console, transient=True, redirect_stdout=False)
            self._live.start()
        threading.Thread(target=self._beats, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._live is not None:
            self._live.stop()
        else:
            self._end()
        self._events.close_stage()

    def update(self, stage: str, detail: str = "", share: float | None = None) -> None:
        """Say what is done now: the stage, within it the detail, and the share of the stage that is done, 0 to 1."""
        with self._lock:
            self._events.update(stage, detail, share)
            self._update(stage, detail, share)

    def say(self, line: str) -> None:
        """Show a line that is no stage: a remark, or what somebody's Python prints, of which only so much a second."""
        from mlopt.core.foreign_text import plain

        now = int(self._clock())
        second, count = self._printed
        count = count + 1 if second == now else 1
        self._printed = now, count
        if count <= _MOST_PRINTED:
            text = plain(line.rstrip())
            self._events.message(text)
            self._print(text)

    def _beats(self) -> None:
        """Say that work goes on where nobody else does."""
        while not self._over.wait(1.0):
            self._events.beat()
            self.beat()

    def beat(self) -> None:
        """In a log: print a line if there has been none for long."""
        with self._lock:
            now = self._clock()
            if self._live is None and self._stage and now - self._logged >= _LOG_SECONDS:
                self._logged = now
                self._print(_joined(self._stage, self._state()))

    def _end(self) -> None:
        """In a log: say what the stage took, if that was long."""
        spent = self._clock() - self._stage_began
        if self._live is None and self._stage and spent >= _TOLD_FROM_SECONDS:
            self._print(_joined(self._stage, f"done in {_duration(spent)}"))

    def _update(self, stage: str, detail: str, share: float | None) -> None:
        now = self._clock()
        new = stage != self._stage
        before, share = self._share or 0.0, None if share is None else min(max(share, 0.0), 1.0)
        self._detail, self._share = detail, share
        if new or (share is not None and share < before):
            self._stage_started, self._from = now, 0.0 if new or share is None else share
        if new:
            self._end()
            self._stage, self._logged, self._stage_began = stage, now, now
            if self._live is not None:
                self._live.refresh()  # or the line under the new stage would still be the old one's
            self._print(stage if self._live is not None or not detail else _joined(stage, detail))
        else:
            self.beat()

    def line(self) -> RenderableType:
        """Return the moving line as it stands; nothing in the first second."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if not self._stage or self._clock() - self._started < _QUIET_SECONDS:
            return Group()
        share = self._share
        bar = ProgressBar(total=1, completed=share or 0, width=_BAR_WIDTH, pulse=share is None)
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(width=_BAR_WIDTH)
        row.add_column(ratio=1, overflow="fold")
        row.add_row(bar, Text(self._state()))
        return row

    def _state(self) -> str:
        """Return for how long the stage has gone on and, as far as they are known, share, time left and detail."""
        now = self._clock()
        share, spent = self._share, now - self._stage_started
        done = "" if share is None else f"{100 * share:.0f} %"
        gone = (share or 0.0) - self._from
        left = "" if share is None or gone < _LEAST_SHARE else f"{_duration(spent * (1 - share) / gone)} left"
        elapsed = f"{_duration(now - self._stage_began, down=True)} so far"
        return ", ".join(filter(None, (elapsed, done, left, self._detail)))

    def _print(self, text: str) -> None:
        from rich.text import Text

        elapsed = f"{self._clock() - self._started:6.1f} s"
        self._console.print(Text.assemble((elapsed, "dim"), "  ", text))


def _joined(stage: str, state: str) -> str:
    return f"{stage}{'' if stage.endswith('?') else ':'} {state}"


def _duration(seconds: float, *, down: bool = False) -> str:
    whole = int(seconds) if down else round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"
