"""One open model with its queue and its one thread: requests go in, are joined and run, and their answers come out.

The event loop only waits. A batch that fails is run again request by request, so that one of them fails alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopt.serve.derived import LaneLimits
from mlopt.serve.faults import ModelFailed, full, late, too_many_rows
from mlopt.serve.joining import Joining, parted
from mlopt.serve.waiting import Ticket, WaitingQueue

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], Arrays]
Executed = Callable[[int, float], None]
"""Is told of each run: its rows, and the seconds that it took."""


class _Asked:
    """A request, and the place for its answer."""

    def __init__(self, feeds: Arrays, answer: asyncio.Future[Arrays]) -> None:
        self.feeds, self.answer = feeds, answer

    def tell(self, found: Arrays | Exception) -> None:
        """Answer, unless whoever asked has gone."""
        if self.answer.done():
            return
        if isinstance(found, Exception):
            self.answer.set_exception(found)
        else:
            self.answer.set_result(found)


class Lane:
    """The queue of one open model; to be made, used and closed in one event loop, whose clock deadlines are of."""

    def __init__(
        self, run: Run, limits: LaneLimits, joining: Joining | None, thread: Executor, executed: Executed
    ) -> None:
        """``thread`` is where the model was opened, and the only place where it runs."""
        self.limits = limits
        self._run, self._joining, self._thread, self._executed = run, joining, thread, executed
        self._loop = asyncio.get_running_loop()
        self._waiting: WaitingQueue[_Asked] = WaitingQueue(limits.max_batch, limits.max_delay_s, limits.queue_rows)
        self._woken, self._closing = asyncio.Event(), False
        self._work = self._loop.create_task(self._working())

    @property
    def waiting_rows(self) -> int:
        """Rows in the queue, those that run now apart."""
        return self._waiting.rows

    def rows(self, feeds: Arrays) -> int:
        """Return how many rows a request counts as: 1 where requests are not joined."""
        return self._joining.rows(feeds) if self._joining else 1

    async def answer(self, feeds: Arrays, deadline: float) -> Arrays:
        """Return the outputs of a request.

        Raises ``AnswerError``: 413 for more rows than the queue ever takes, 503 where there is no room for them now, or
        504 when the deadline passed, and 500 when the model fails.
        """
        rows = self.rows(feeds)
        if rows > self.limits.queue_rows:
            raise too_many_rows(rows, self.limits.queue_rows)
        now = self._loop.time()
        if deadline <= now:
            raise late()
        asked = _Asked(feeds, self._loop.create_future())
        key = self._joining.key(feeds) if self._joining else asked
        ticket = Ticket(asked, rows, key, now, deadline)
        if self._closing or not self._waiting.offer(ticket):
            raise full()
        self._woken.set()
        try:
            async with asyncio.timeout_at(deadline):
                return await asked.answer
        except TimeoutError:
            raise late() from None
        finally:
            self._waiting.drop(ticket)

    async def close(self) -> None:
        """Take nothing more, answer what waits, and end."""
        self._closing = True
        self._woken.set()
        await self._work

    async def _working(self) -> None:
        while True:
            self._woken.clear()
            turn = self._waiting.take(self._loop.time())
            for ticket in turn.late:
                ticket.request.tell(late())
            if turn.batch:
                await self._answered([ticket for ticket in turn.batch if not ticket.request.answer.done()])
            elif self._closing and not self._waiting.rows:
                return
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(turn.wait_s):
                        await self._woken.wait()

    async def _answered(self, tickets: Sequence[Ticket[_Asked]]) -> None:
        try:
            answers = await self._in_thread([ticket.request.feeds for ticket in tickets])
        except Exception as error:  # noqa: BLE001 - whatever a library raises, it is the answer to these requests
            await self._one_by_one(tickets, error)
            return
        for ticket, answer in zip(tickets, answers, strict=True):
            ticket.request.tell(answer)

    async def _one_by_one(self, tickets: Sequence[Ticket[_Asked]], error: Exception) -> None:
        """Run requests that failed together each alone; one that failed alone has its answer."""
        if len(tickets) == 1:
            tickets[0].request.tell(ModelFailed(error))
            return
        for ticket in tickets:
            if ticket.deadline <= self._loop.time():
                ticket.request.tell(late())
            elif not ticket.request.answer.done():
                await self._answered([ticket])

    async def _in_thread(self, requests: Sequence[Arrays]) -> list[Arrays]:
        if not requests:
            return []
        began = self._loop.time()
        answers = await self._loop.run_in_executor(self._thread, self._execute, requests)
        self._executed(sum(map(self.rows, requests)), self._loop.time() - began)
        return answers

    def _execute(self, requests: Sequence[Arrays]) -> list[Arrays]:
        """Run in the model's thread."""
        if self._joining is None:
            return [_own(self._run(feeds)) for feeds in requests]
        outputs = self._run(self._joining.joined(requests))
        return list(parted(outputs, [self._joining.rows(feeds) for feeds in requests]))


def _own(outputs: Arrays) -> Arrays:
    """Keep what a model may write over in its next run, if it answers from a buffer of its own."""
    return {name: np.array(output) for name, output in outputs.items()}
