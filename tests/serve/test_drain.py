"""Leaving in order, by a clock that nobody waits for."""

from __future__ import annotations

import asyncio

import pytest
from virtual_time import run

from mlopt.serve.drain import Drain
from mlopt.serve.faults import AnswerError


def test_readiness_goes_at_once_and_requests_are_taken_for_as_long_as_was_said() -> None:
    async def work() -> None:
        drain = Drain()
        leaving = asyncio.create_task(drain.start(still_accepting_s=5.0))
        await asyncio.sleep(1.0)
        assert (drain.ready, drain.accepting) == (False, True)
        await leaving
        assert not drain.accepting
        with pytest.raises(AnswerError) as caught, drain.request():
            pass
        assert caught.value.status == 503

    run(work())


def test_what_was_taken_is_waited_for_and_what_takes_too_long_is_counted() -> None:
    async def work() -> None:
        async def request(seconds: float) -> None:
            with drain.request():
                await asyncio.sleep(seconds)

        drain = Drain()
        tasks = [asyncio.create_task(request(seconds)) for seconds in (1.0, 3.0, 60.0)]
        await asyncio.sleep(0.1)
        await drain.start()
        assert await drain.finished(10.0) == 1
        assert await drain.finished(100.0) == 0
        assert all(task.done() for task in tasks)

    run(work())
