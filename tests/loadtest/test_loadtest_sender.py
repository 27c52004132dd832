"""The open loop, on a clock of its own: time goes on whatever becomes of the requests."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from mlopt.loadtest.sender import Fault, WallClock, send_all
from mlopt.loadtest.volley import Volley


class PlayedClock:
    """Time that goes on to the next moment that somebody waits for, once nobody has anything else to do."""

    def __init__(self) -> None:
        self.time = 100.0
        self._waiting: list[tuple[float, int, asyncio.Event]] = []
        self._count = 0

    def now(self) -> float:
        return self.time

    async def until(self, moment: float) -> None:
        event = asyncio.Event()
        self._count += 1
        heapq.heappush(self._waiting, (moment, self._count, event))
        await event.wait()

    async def play(self) -> None:
        """Go on for ever."""
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            if self._waiting:
                moment, _, event = heapq.heappop(self._waiting)
                self.time = max(self.time, moment)
                event.set()


def sent(moments: list[float], ask: Callable[[PlayedClock, int], Awaitable[Fault | None]], most: int = 100) -> Volley:
    async def all_of_it() -> Volley:
        clock = PlayedClock()
        player = asyncio.create_task(clock.play())
        try:
            return await send_all(np.array(moments), lambda number: ask(clock, number), clock, most)
        finally:
            player.cancel()

    return asyncio.run(all_of_it())


def after(seconds: float) -> Callable[[PlayedClock, int], Awaitable[Fault | None]]:
    async def ask(clock: PlayedClock, _: int) -> Fault | None:
        await clock.until(clock.now() + seconds)
        return None

    return ask


def test_requests_are_sent_at_their_moments_and_not_when_others_are_answered() -> None:
    found = sent([0, 1, 2, 3], after(10))
    assert np.allclose(found.sent, [0, 1, 2, 3])
    assert np.allclose(found.done, [10, 11, 12, 13])
    assert found.failed == [None] * 4
    assert found.in_flight == 4


def test_a_stall_is_in_the_latency_of_all_that_come_in_it() -> None:
    async def ask(clock: PlayedClock, _: int) -> Fault | None:
        if clock.now() < 105:  # the server stalls for the first five seconds
            await clock.until(105)
        return None

    found = sent([0, 1, 2, 3, 4, 6], ask)
    assert np.allclose(found.done - found.moments, [4.95, 3.95, 2.95, 1.95, 0.95, 0], atol=0.01)


def test_what_cannot_be_sent_is_counted_and_nothing_is_dropped() -> None:
    found = sent([0, 1, 2, 3, 11], after(10), most=2)
    assert found.failed == [None, None, "unsent", "unsent", None]
    assert np.isnan(found.sent).tolist() == [False, False, True, True, False]
    assert np.isnan(found.done[2])
    assert "2 requests were under way" in found.examples["unsent"]
    assert found.in_flight == 2


def test_a_request_that_fails_says_why() -> None:
    async def ask(clock: PlayedClock, number: int) -> Fault | None:
        del clock
        return ("http_503", "the queue is full") if number == 1 else None

    found = sent([0, 1, 2], ask)
    assert found.failed == [None, "http_503", None]
    assert found.examples == {"http_503": "the queue is full"}


def test_who_is_stopped_leaves_nothing_running() -> None:
    async def all_of_it() -> int:
        clock = PlayedClock()
        player = asyncio.create_task(clock.play())
        task = asyncio.create_task(send_all(np.array([0.0, 1e9]), lambda _: after(1e12)(clock, 0), clock, 10))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        player.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert asyncio.run(all_of_it()) == 1


def test_the_clock_of_the_machine_lets_others_run_even_where_a_moment_has_passed() -> None:
    async def all_of_it() -> list[str]:
        told: list[str] = []
        other = asyncio.create_task(asyncio.sleep(0, told.append("other")))
        clock = WallClock()
        await clock.until(clock.now() - 1)
        told.append("again")
        await other
        return told

    assert asyncio.run(all_of_it()) == ["other", "again"]
