"""How much of a server's time sketching may take: what would take more is left out, by the clock and not by content."""

from __future__ import annotations

import time
from collections.abc import Callable

SHARE = 0.01
"""Of the time that has passed."""
_CREDIT_SECONDS = 0.05
"""What may be spent at once, so that a quiet hour does not pay for a busy minute."""


class Thrift:
    """Runs work as long as it stays within a share of the time, counted in the same thread.

    ``clock`` gives seconds; it is asked twice for each piece of work that is done, once for one that is not.
    """

    def __init__(self, share: float = SHARE, clock: Callable[[], float] = time.perf_counter) -> None:
        self._share, self._clock = share, clock
        self._at = clock()
        self._left = _CREDIT_SECONDS

    def do(self, work: Callable[[], object]) -> bool:
        """Run ``work`` if there is time for it; return whether it was run."""
        now = self._clock()
        self._left = min(self._left + (now - self._at) * self._share, _CREDIT_SECONDS)
        self._at = now
        if self._left <= 0:
            return False
        work()
        self._left -= self._clock() - now
        return True
