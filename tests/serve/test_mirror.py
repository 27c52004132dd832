"""Shadows: asked in the background, compared, bounded, and never in the way."""

from __future__ import annotations

import asyncio
from typing import Any

from scraped import Scrape
from served_models import POISON, Doubling, loaded, row
from virtual_time import Held

from mlopt.serve.metrics import Metrics
from mlopt.serve.mirror import Mirror
from mlopt.serve.models import ServedModel, ServedVersion
from mlopt.serve.traffic import Traffic


def version(digest: str, **changes: Any) -> ServedVersion:
    return ServedVersion(loaded(digest=digest, **changes), lambda _rows, _seconds: None)


def model(primary: ServedVersion, other: ServedVersion, share: float = 100.0) -> ServedModel:
    found = ServedModel("m")
    found.add(primary)
    found.add(other)
    found.traffic = Traffic({primary.digest: 100.0}, {other.digest: share})
    return found


def counts(metrics: Metrics) -> dict[str, float]:
    names = ("mlopt_shadow_answers_total", "mlopt_shadow_dropped_total")
    samples = Scrape(metrics.text()).samples
    return {labels.get("result", "dropped"): value for name, labels, value in samples if name in names}


async def reflected(other: ServedVersion, *values: float, share: float = 100.0, point: float = 0.5) -> dict[str, float]:
    metrics, primary = Metrics(), version("a")
    mirror = Mirror(metrics, lambda: point)
    served = model(primary, other, share)
    for value in values:
        mirror.reflect(served, primary, row(value), {"y": row(2 * value)["x"]})
    for _ in range(1000):
        await asyncio.sleep(0.001)
        if not mirror._tasks:
            break
    return counts(metrics)


def test_answers_are_compared_within_what_both_artifacts_promise() -> None:
    async def work() -> None:
        assert await reflected(version("b"), 1.0, 2.0) == {"same": 2}
        assert await reflected(version("b", run=Doubling(3.0)), 1.0) == {"different": 1}
        assert await reflected(version("b", run=Doubling(2.5), slack={"y": 0.6}), 1.0) == {"same": 1}
        assert await reflected(version("b"), POISON) == {"failed": 1}

    asyncio.run(work())


def test_only_the_share_that_was_asked_for_is_mirrored() -> None:
    async def work() -> None:
        assert await reflected(version("b"), 1.0, share=20.0, point=0.5) == {}
        assert await reflected(version("b"), 1.0, share=20.0, point=0.1) == {"same": 1}

    asyncio.run(work())


def test_a_shadow_that_hangs_is_asked_no_more_than_there_is_room_for() -> None:
    async def work() -> None:
        metrics, primary = Metrics(), version("a")
        mirror = Mirror(metrics, lambda: 0.0, most=4)
        served = model(primary, version("b", thread=Held()))
        for _ in range(10):
            mirror.reflect(served, primary, row(1.0), {"y": row(2.0)["x"]})
        assert counts(metrics) == {"dropped": 6}
        await mirror.close()

    asyncio.run(work())


def test_a_version_is_no_shadow_of_itself_and_none_that_is_not_ready() -> None:
    async def work() -> None:
        metrics, primary, other = Metrics(), version("a"), version("b")
        mirror, served = Mirror(metrics, lambda: 0.0), model(primary, other)
        mirror.reflect(served, other, row(1.0), {"y": row(2.0)["x"]})
        other.state = "draining"
        mirror.reflect(served, primary, row(1.0), {"y": row(2.0)["x"]})
        assert not mirror._tasks
        await mirror.close()

    asyncio.run(work())
