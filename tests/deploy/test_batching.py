"""The queue that goes along: it joins what waits, and says no in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import deployed
import numpy as np
import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    deployed.written(tmp_path / "out", "fastapi", deployed.artifact(tmp_path / "first", deployed.doubled))
    return tmp_path / "out"


@pytest.fixture
def batching(folder: Path) -> Iterator[ModuleType]:
    with deployed.modules(folder, "batching") as (module,):
        yield module


class _Gate:
    """A model that computes nothing before it is let."""

    def __init__(self, model: Any) -> None:
        self.open, self.began, self.sizes = threading.Event(), threading.Event(), list[int]()
        self._model, self._run = model, model.run_together
        model.run_together = self

    def __call__(self, requests: Any, ran: Any) -> Any:
        self.sizes.append(len(requests))
        self.began.set()
        assert self.open.wait(30)
        return self._run(requests, ran)


def queue(batching: ModuleType, folder: Path, **changes: Any) -> tuple[Any, _Gate]:
    settings = {"largest_batch": 4, "delay_ms": 0, "queue_rows": 8, "timeout_ms": 30_000, "instances": 1, **changes}
    made = batching.BatchQueue(folder / "models" / "first" / "1", **settings)
    return made, _Gate(made.model)


def one(value: float) -> dict[str, np.ndarray]:
    return {"x": np.full((1, 4), value, np.float32)}


def test_what_waits_is_answered_together(batching: ModuleType, folder: Path) -> None:
    async def main() -> None:
        made, gate = queue(batching, folder)
        executed: list[int] = []
        made.executed = lambda rows, _seconds: executed.append(rows)
        first = asyncio.create_task(made.ask(one(0)))
        while not gate.began.is_set():
            await asyncio.sleep(0.01)
        others = [asyncio.create_task(made.ask(one(value))) for value in range(1, 7)]
        while made.waiting_rows < 6:
            await asyncio.sleep(0.01)
        gate.open.set()
        answers = await asyncio.gather(first, *others)
        assert [float(answer["h"][0, 0]) for answer in answers] == [0, 2, 4, 6, 8, 10, 12]
        assert gate.sizes == executed == [1, 4, 2]
        await made.close()

    asyncio.run(main())


def test_a_full_queue_and_a_deadline(batching: ModuleType, folder: Path) -> None:
    async def main() -> None:
        made, gate = queue(batching, folder, queue_rows=2)
        busy = asyncio.create_task(made.ask(one(0)))
        while not gate.began.is_set():
            await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(made.ask(one(value))) for value in (1, 2)]
        while made.waiting_rows < 2:
            await asyncio.sleep(0.01)
        with pytest.raises(batching.Full, match="2 rows wait, and there is room for 2"):
            await made.ask(one(3))
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(batching.Late, match="no answer within 20 ms"):
            await made.ask(one(4), 20)
        gate.open.set()
        assert float((await busy)["h"][0, 0]) == 0
        assert float((await made.ask(one(5)))["h"][0, 0]) == 10
        assert gate.sizes == [1, 1]
        await made.close()

    asyncio.run(main())


def test_it_waits_for_others_no_longer_than_the_delay(batching: ModuleType, folder: Path) -> None:
    async def main() -> None:
        made, gate = queue(batching, folder, largest_batch=2, delay_ms=20_000)
        gate.open.set()
        first = asyncio.create_task(made.ask(one(1)))
        await asyncio.sleep(0.05)
        assert not first.done()
        await asyncio.gather(first, made.ask(one(2)))
        assert gate.sizes == [2]
        await made.close()

    asyncio.run(main())


def test_what_does_not_fit_never_waits(batching: ModuleType, folder: Path) -> None:
    async def main() -> None:
        made, gate = queue(batching, folder)
        with pytest.raises(ValueError, match="expected float32"):
            await made.ask({"x": np.zeros((1, 5), np.float32)})
        assert gate.sizes == []
        await made.close()

    asyncio.run(main())
