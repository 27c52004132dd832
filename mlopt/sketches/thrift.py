"""How much of a server's time sketching may take: what would take more is left out, by the clock and not by content."""

from __future__ import annotations

import time
from collections.abc import Callable

SHARE = 0.005
"""Of the time that has passed."""
_CREDIT_SECONDS = 0.05
"""What may be spent at once, so that a quiet hour does not pay for a busy minute."""


class Thrift:
    """Says when work stays within a share of the time. What begins must end before it is asked again.

    ``clock`` gives seconds; it is asked twice for each piece of work that is done, once for one that is not.
    """

    def __init__(self, share: float = SHARE, clock: Callable[[], float] = time.perf_counter) -> None:
        self._share, self._clock = share, clock
        self._at = clock()
        self._left = _CREDIT_SECONDS

    def may_begin(self) -> bool:
        """Whether there is time for another piece of work."""
        now = self._clock()
        self._left = min(self._left + (now - self._at) * self._share, _CREDIT_SECONDS)
        self._at = now
        return self._left > 0

    def end(self) -> None:
        """Count what the work took that began last."""
        self._left -= self._clock() - self._at
