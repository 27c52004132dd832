"""Stretches of load: which go to whom, the search over them, and two servers compared."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from load_example import figures, noisy, volley

from mlopt.loadtest import driver
from mlopt.loadtest.driver import LoadDriver, step_seconds, tried
from mlopt.loadtest.payload import Payload
from mlopt.loadtest.ramp import NextStep
from mlopt.loadtest.request import LoadRequest
from mlopt.loadtest.slo import parse_slo
from mlopt.loadtest.target import InferTarget
from mlopt.loadtest.volley import Volley

SLO = parse_slo("p99=50ms,error_rate=1%")


class PlayedDriver(LoadDriver):
    """Puts no load on: up to 300 requests a second are answered in 10 ms, above in 100."""

    put_on: list[tuple[float, float]]
    late_from: float = 1e9

    async def put(self, rate: float, seconds: float, seed: int, *, servers: int = 1) -> list[Volley]:
        del seed, servers
        self.put_on.append((rate, seconds))
        took = noisy(int(rate * seconds), 10 if rate <= 300 else 100, seed=len(self.put_on))
        return [volley(took, seconds, late_ms=20.0 if rate >= self.late_from else 0.0)]


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> PlayedDriver:
    monkeypatch.setattr(driver, "_PAUSE_S", 0.0)
    return make()


def make(**parts: Any) -> PlayedDriver:
    request = LoadRequest(**({"target": "http://h", "rate": 100.0, "gates": SLO, "ramp": True} | parts))
    client: Any = None
    targets = [InferTarget("http://h", "m"), InferTarget("http://i", "m")]
    found = PlayedDriver(request, client, targets, Payload((), "made up"), [], lambda *_: None)
    found.put_on = []
    return found


def test_the_search_finds_the_rate_and_confirms_it(played: PlayedDriver) -> None:
    found = asyncio.run(played.search())
    assert found.kept is not None
    assert found.broken is not None
    assert found.kept <= 300 < found.broken < 335
    assert found.steps[-1].confirms
    assert played.put_on[-1] == (found.kept, 10.0)
    assert found.steps[0].latency_ms.keys() == {"p99"}


def test_a_search_that_has_no_time_says_so() -> None:
    played = make(max_time=1.0)
    found = asyncio.run(played.search())
    assert (found.steps, found.kept) == ((), None)
    assert "--max-time" in found.ended


def test_a_rate_that_the_generator_does_not_keep_is_no_fault_of_the_server(played: PlayedDriver) -> None:
    played.late_from = 200.0
    found = asyncio.run(played.search())
    assert found.kept is not None
    assert found.kept < 200
    assert found.broken is None
    assert any(step.doubt is not None and step.verdict == "inconclusive" for step in found.steps)


def test_a_look_at_which_the_generator_was_late_is_taken_again(played: PlayedDriver) -> None:
    punctual = played.put

    async def late_once(rate: float, seconds: float, seed: int, *, servers: int = 1) -> list[Volley]:
        found = await punctual(rate, seconds, seed, servers=servers)
        if len(played.put_on) == 1:
            found[0].sent += 1.0
            found[0].done += 1.0
        return found

    played.put = late_once  # type: ignore[method-assign]
    found = asyncio.run(played._step(NextStep(100), 4, 0, 1e12))
    assert (found.verdict, found.doubt, found.seconds) == ("pass", None, 4)
    assert len(played.put_on) == 2


def test_an_undecided_rate_is_judged_by_all_its_looks(played: PlayedDriver) -> None:
    near = float(np.quantile(noisy(100_000), 0.99))
    played.request = LoadRequest(target="http://h", rate=100, gates=parse_slo(f"p99={near:.3f}ms"), ramp=True)
    found = asyncio.run(played._step(NextStep(100), 4, 0, 1e12))
    assert (found.verdict, found.seconds) == ("inconclusive", 12)
    assert len(played.put_on) == 3


def test_a_rate_is_tried_until_its_percentiles_have_enough_requests() -> None:
    request = LoadRequest(target="http://h", rate=10, gates=SLO)
    assert step_seconds(NextStep(1000), request) == 4
    assert step_seconds(NextStep(1000, confirms=True), request) == 10
    assert step_seconds(NextStep(10), request) == 39
    assert step_seconds(NextStep(10), LoadRequest(target="http://h", rate=10, gates=parse_slo("p50=1s"))) == 4


def test_what_a_rate_came_to_is_judged_by_the_limits_of_the_service() -> None:
    found = tried(NextStep(100), figures(noisy(2000)), SLO, None)
    assert (found.verdict, found.error_rate, found.doubt) == ("pass", 0.0, None)
    assert tried(NextStep(100), figures(noisy(2000, 100)), SLO, None).verdict == "fail"
    doubted = tried(NextStep(100), figures(noisy(2000)), SLO, ("late", "elsewhere"))
    assert (doubted.verdict, doubted.doubt) == ("inconclusive", "late")


def test_of_two_servers_the_first_is_the_one_that_is_slower() -> None:
    load = make(seconds=20.0)
    found = load.compared(volley(noisy(4000, 12)), volley(noisy(4000, 10, seed=1)))
    assert [each.found for each in found.differences] == ["slower", "slower"]
    assert found.other.url == "http://i"
    assert found.figures.latency_ms.p50 == pytest.approx(10, rel=0.05)


def test_each_of_two_servers_has_half_of_what_may_be_under_way() -> None:
    load = make(max_in_flight=12)
    full = volley([10.0] * 100, failed=[(5, "unsent")])
    assert load.doubt([full], 100) is None
    assert load.doubt([full, full], 100) is not None


def test_a_warm_up_asks_for_each_sample_and_counts_nothing() -> None:
    asked: list[int] = []
    load = make()

    class Caller:
        servers = np.zeros(1, np.intp)

        async def ask(self, number: int) -> None:
            asked.append(number)

    load.payload = Payload(tuple(range(3)), "made up")  # type: ignore[arg-type]
    load._caller = lambda *_: Caller()  # type: ignore[method-assign, assignment, return-value]
    asyncio.run(load.warm())
    assert asked == [0, 1, 2, 3, 4, 5]
