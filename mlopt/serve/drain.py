"""Leaving in order: readiness goes first, then no request is taken, and what was taken is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from mlopt.serve.faults import leaving


class Drain:
    """Whether a server is ready and takes requests, and how many it is at."""

    def __init__(self) -> None:
        self.ready = True
        self.accepting = True
        self.in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request while it is worked at; raises ``AnswerError`` (503) when none is taken any more."""
        if not self.accepting:
            raise leaving()
        self.in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    async def start(self, still_accepting_s: float = 0.0) -> None:
        """Stop being ready at once, and taking requests after so long: proxies take a while to look."""
        self.ready = False
        if still_accepting_s:
            await asyncio.sleep(still_accepting_s)
        self.accepting = False

    async def finished(self, patience_s: float) -> int:
        """Wait until all that was taken is answered, for so long at most; return how many are not."""
        try:
            async with asyncio.timeout(patience_s):
                await self._idle.wait()
        except TimeoutError:
            return self.in_flight
        return 0
