"""What a run spends its time on: its phases, one after the other, each from when it is first told of to the next."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Notify = Callable[[str, str, float | None], None]
"""Called with the stage at hand and, within it, the detail and the share that is done (0 to 1; None: not known)."""


@dataclass
class Timeline:
    """Passes on what is told, and books the time; ``clock`` gives seconds."""

    notify: Notify
    clock: Callable[[], float] = time.monotonic
    _spent: dict[str, float] = field(default_factory=dict)
    _stage: str = ""
    _began: float = 0.0

    def tell(self, stage: str, detail: str, share: float | None) -> None:
        """Tell of a stage; another one than before begins a phase, and ends that of before."""
        if stage != self._stage:
            self._book()
            self._stage = stage
        self.notify(stage, detail, share)

    def within(self, detail: str, share: float | None = None) -> None:
        """Tell of the stage at hand."""
        if self._stage:
            self.notify(self._stage, detail, share)

    @property
    def seconds(self) -> dict[str, float]:
        """What each phase took so far, in the order in which they began; one that came twice counts once, with both."""
        self._book()
        return {stage: round(spent, 2) for stage, spent in self._spent.items()}

    def _book(self) -> None:
        now = self.clock()
        if self._stage:
            self._spent[self._stage] = self._spent.get(self._stage, 0.0) + now - self._began
        self._began = now
