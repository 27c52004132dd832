"""What a person sees while work goes on: a moving line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


class Progress:
    """Shows the step at hand. In a terminal one line that moves; in a log a line for each new step."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._stage = ""
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def update(self, stage: str, detail: str = "") -> None:
        """Say what is done now: the stage, and within it the detail."""
        elapsed = time.monotonic() - self._started
        if self._status is not None:
            from rich.markup import escape

            self._status.update(f"{escape(stage)}  [dim]{escape(detail)}  {elapsed:.0f} s[/]")
        if stage != self._stage:
            self._console.print(f"[dim]{elapsed:6.1f} s[/]  {stage}")
            self._stage = stage
