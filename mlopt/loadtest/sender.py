"""The open loop: every request is sent at its moment, whatever became of those before it.

A closed loop, which waits for an answer before it asks again, sends nothing while a server stalls, and so hides the
stall from every figure. Here time goes on: what could not be sent in time is late, and its latency counts from when it
should have been.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from mlopt.loadtest.arrivals import Floats
from mlopt.loadtest.volley import UNSENT, Volley

Fault = tuple[str, str]
"""A kind of failure, and what it was in words."""
Ask = Callable[[int], Awaitable[Fault | None]]
"""Sends the request of a number and waits for its answer; bounded in time, and raises nothing."""
_LEAD_S = 0.05


class Clock(Protocol):
    """Time, which tests replace."""

    def now(self) -> float:
        """Return seconds from any fixed moment."""
        ...

    async def until(self, moment: float) -> None:
        """Return when ``moment`` has come; others run meanwhile, at least once, even if it has passed."""
        ...


class WallClock:
    """The machine's own."""

    def now(self) -> float:
        """As ``Clock`` has it."""
        return time.perf_counter()

    async def until(self, moment: float) -> None:
        """As ``Clock`` has it."""
        await asyncio.sleep(max(moment - time.perf_counter(), 0.0))


async def send_all(moments: Floats, ask: Ask, clock: Clock, most: int) -> Volley:
    """Send a request at each of ``moments`` (seconds from the beginning) and wait for all answers.

    While ``most`` are under way no other is sent: one whose moment comes then fails as ``unsent``, and is counted.
    """
    volley = Volley.planned(moments)
    running: set[asyncio.Task[None]] = set()
    start = clock.now() + _LEAD_S

    async def one(number: int) -> None:
        volley.sent[number] = clock.now() - start
        fault = await ask(number)
        volley.done[number] = clock.now() - start
        if fault is not None:
            volley.fail(number, *fault)

    try:
        for number, moment in enumerate(moments.tolist()):
            await clock.until(start + moment)
            if len(running) >= most:
                volley.fail(number, UNSENT, f"{most} requests were under way, and no more are allowed")
                continue
            task = asyncio.create_task(one(number))
            running.add(task)
            task.add_done_callback(running.discard)
            volley.in_flight = max(volley.in_flight, len(running))
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
    return volley
