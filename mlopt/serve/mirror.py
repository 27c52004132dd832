"""Requests asked of a second version as well, in the background: nobody waits for it, and nobody gets its answer.

So many mirrored requests at most are under way; what comes when there is no room is counted and not mirrored. The
second version computes on the same cores, of course.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from mlopt.core.errors import MloptError
from mlopt.serve.agreement import same, together
from mlopt.serve.faults import AnswerError
from mlopt.serve.metrics import Metrics, Shadowed
from mlopt.serve.models import ServedModel, ServedVersion
from mlopt.serve.traffic import WHOLE

Arrays = Mapping[str, NDArray[Any]]


class Mirror:
    """What is asked in the background."""

    def __init__(self, metrics: Metrics, point: Callable[[], float], most: int = 16) -> None:
        """``point`` draws from [0, 1)."""
        self._metrics, self._point, self._most = metrics, point, most
        self._tasks: set[asyncio.Task[None]] = set()

    def reflect(self, model: ServedModel, primary: ServedVersion, feeds: Arrays, outputs: Arrays) -> None:
        """Ask the shadows of a model what was just answered; returns at once."""
        for digest, share in model.traffic.shadow.items():
            other = model.usable.get(digest)
            if other is None or other is primary or self._point() * WHOLE >= share:
                continue
            if len(self._tasks) >= self._most:
                self._metrics.not_mirrored(model.name, digest)
                continue
            task = asyncio.create_task(self._compared(model.name, primary, other, feeds, outputs))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _compared(
        self, model: str, primary: ServedVersion, other: ServedVersion, feeds: Arrays, outputs: Arrays
    ) -> None:
        deadline = asyncio.get_running_loop().time() + other.lane.limits.deadline_s
        slack = together(primary.loaded.slack, other.loaded.slack)
        result: Shadowed
        try:
            answer = await other.lane.answer(feeds, deadline)
            result = "same" if await asyncio.to_thread(same, outputs, answer, slack) else "different"
        except MloptError as error:
            if isinstance(error, AnswerError) and error.status == 503:
                self._metrics.not_mirrored(model, other.digest)
                return
            result = "failed"
        self._metrics.shadow(model, other.digest, result)
