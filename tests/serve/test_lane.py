"""An open model with its queue, in a loop whose clock nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from served_models import LIMITS, POISON, Doubling, loaded, row
from virtual_time import Held, Inline, run

from mlopt.serve.derived import LaneLimits
from mlopt.serve.faults import AnswerError, ModelFailed
from mlopt.serve.lane import Lane


def lane(model: Any = None, thread: Any = None, limits: LaneLimits = LIMITS, **changes: Any) -> Lane:
    parts = loaded(model, **changes)
    return Lane(parts.run, limits, parts.joining, thread or Inline(), lambda _rows, _seconds: None)


async def after(seconds: float, work: Callable[[], Awaitable[Any]]) -> Any:
    await asyncio.sleep(seconds)
    return await work()


def soon(seconds: float = 2.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def all_of(*answers: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*answers, return_exceptions=True)


def test_what_waits_is_run_together_and_each_gets_its_own_rows() -> None:
    async def work() -> None:
        model = Doubling()
        asked = lane(model)
        requests = [row(1.0), row(2.0, 3.0), row(4.0), row(5.0)]
        found = await all_of(*(asked.answer(each, soon()) for each in requests))
        assert [each["y"][:, 0].tolist() for each in found] == [[2.0], [4.0, 6.0], [8.0], [10.0]]
        assert model.runs == [4, 1]
        await asked.close()

    run(work())


def test_those_who_come_within_the_delay_are_joined() -> None:
    async def work() -> None:
        model = Doubling()
        asked = lane(model, limits=LaneLimits(4, 0.1, 16, 2.0))
        await all_of(
            asked.answer(row(1.0), soon()), after(0.05, lambda: asked.answer(row(2.0), soon())),
            after(0.15, lambda: asked.answer(row(3.0), soon())),
        )  # fmt: skip
        assert model.runs == [2, 1]

    run(work())


def test_a_bad_request_in_a_batch_fails_alone() -> None:
    async def work() -> None:
        model = Doubling()
        found = await all_of(*((asked := lane(model)).answer(each, soon()) for each in [row(1.0)]))
        found = await all_of(*(asked.answer(each, soon()) for each in (row(1.0), row(POISON), row(3.0))))
        assert [type(each) for each in found] == [dict, ModelFailed, dict]
        assert found[2]["y"][0, 0] == 6.0
        assert model.runs == [1, 3, 1, 1, 1]

    run(work())


def test_whatever_a_library_raises_is_the_answer_to_that_request() -> None:
    def broken(_feeds: Any) -> Any:
        raise ZeroDivisionError("oh")

    async def work() -> None:
        (found,) = await all_of(lane(broken).answer(row(1.0), soon()))
        assert isinstance(found, ModelFailed)
        assert "ZeroDivisionError: oh" in str(found)

    run(work())


def test_a_model_whose_output_has_other_rows_than_it_says_is_run_request_by_request_and_told() -> None:
    async def work() -> None:
        found = await all_of(*((asked := lane(lambda feeds: {"y": feeds["x"][:1]})).answer(row(1.0), soon()),))
        found = await all_of(asked.answer(row(1.0), soon()), asked.answer(row(2.0, 3.0), soon()))
        assert found[0]["y"].tolist() == [[1.0, 1.0]]
        assert isinstance(found[1], ModelFailed)

    run(work())


def test_what_cannot_be_joined_runs_one_at_a_time() -> None:
    async def work() -> None:
        model = Doubling()
        asked = lane(model, limits=LaneLimits(1, 0.0, 16, 2.0), joining=None)
        await all_of(*(asked.answer(row(1.0, 2.0), soon()) for _ in range(3)))
        assert model.runs == [2, 2, 2]
        assert asked.rows(row(1.0, 2.0)) == 1

    run(work())


def test_a_full_queue_is_503_and_what_runs_does_not_count() -> None:
    async def work() -> None:
        held = Held()
        asked = lane(thread=held, limits=LaneLimits(1, 0.0, 2, 2.0))
        first = asyncio.create_task(asked.answer(row(1.0), soon()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        others = [asyncio.create_task(asked.answer(row(2.0), soon())) for _ in range(3)]
        await asyncio.sleep(0)
        assert asked.waiting_rows == 2
        with pytest.raises(AnswerError, match="queue is full") as caught:
            await others[2]
        assert caught.value.status == 503
        while not all(each.done() for each in (first, *others)):
            held.release()
            await asyncio.sleep(0.001)
        assert [each.exception() for each in (first, *others[:2])] == [None] * 3

    run(work())


def test_more_rows_than_the_queue_ever_takes_are_413() -> None:
    async def work() -> None:
        with pytest.raises(AnswerError, match="more rows than the queue takes") as caught:
            await lane(limits=LaneLimits(4, 0.0, 3, 2.0)).answer(row(1.0, 2.0, 3.0, 4.0), soon())
        assert caught.value.status == 413

    run(work())


def test_a_deadline_that_passes_is_504_and_the_request_never_runs() -> None:
    async def work() -> None:
        held, model = Held(), Doubling()
        asked = lane(model, thread=held, limits=LaneLimits(1, 0.0, 16, 2.0))
        running = asyncio.create_task(asked.answer(row(1.0), soon(60.0)))
        await asyncio.sleep(0.001)
        began = asyncio.get_running_loop().time()
        with pytest.raises(AnswerError) as caught:
            await asked.answer(row(2.0), soon(0.5))
        assert caught.value.status == 504
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.5, abs=0.01)
        assert asked.waiting_rows == 0
        while not running.done():
            held.release()
            await asyncio.sleep(0.001)
        assert model.runs == [1], "the late one never ran"

    run(work())


def test_a_deadline_that_has_passed_already_is_504_at_once() -> None:
    async def work() -> None:
        model = Doubling()
        with pytest.raises(AnswerError, match="deadline"):
            await lane(model).answer(row(1.0), soon(0.0))
        assert model.runs == []

    run(work())


def test_a_request_that_fails_with_others_and_is_late_then_is_not_run_again() -> None:
    async def work() -> None:
        held, model = Held(), Doubling()
        asked = lane(model, thread=held)
        requests = [
            asyncio.create_task(asked.answer(row(POISON), soon(60.0))),
            asyncio.create_task(asked.answer(row(2.0), soon(0.5))),
        ]
        await asyncio.sleep(1.0)
        held.release()
        while not requests[0].done():
            await asyncio.sleep(0.001)
            held.release()
        assert [getattr(each.exception(), "status", None) for each in requests] == [500, 504]
        assert model.runs == [2, 1]

    run(work())


def test_close_answers_what_waits_and_takes_nothing_more() -> None:
    async def work() -> None:
        asked = lane(limits=LaneLimits(4, 0.5, 16, 2.0))
        waiting = asyncio.create_task(asked.answer(row(1.0), soon()))
        await asyncio.sleep(0.01)
        await asked.close()
        assert (await waiting)["y"][0, 0] == 2.0
        with pytest.raises(AnswerError):
            await asked.answer(row(1.0), soon())

    run(work())


def test_answers_are_copies_of_what_a_model_may_write_over() -> None:
    buffer = np.zeros((1, 2), np.float32)

    def reusing(feeds: Any) -> Any:
        np.multiply(feeds["x"], 2, out=buffer)
        return {"y": buffer}

    async def work() -> None:
        asked = lane(reusing)
        first = await asked.answer(row(1.0), soon())
        await asked.answer(row(5.0), soon())
        assert first["y"][0, 0] == 2.0

    run(work())
