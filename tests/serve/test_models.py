"""The versions of a model: who is chosen, who was before whom, and what the admin API tells of them."""

from __future__ import annotations

from typing import Any

import pytest
from served_models import loaded
from virtual_time import run

from mlopt.serve.faults import AnswerError
from mlopt.serve.models import Models, ServedModel, ServedVersion, first_takes_all
from mlopt.serve.traffic import Traffic


def model(*versions: tuple[str, int], weights: dict[str, float] | None = None, **changes: Any) -> ServedModel:
    found = ServedModel("double", **changes)
    for digest, version in versions:
        found.add(ServedVersion(loaded(digest=digest, version=version), lambda _rows, _seconds: None))
    found.traffic = Traffic(weights) if weights else first_takes_all(list(found.versions))
    return found


def test_the_first_takes_all_and_a_point_chooses_by_weight() -> None:
    async def work() -> None:
        assert model(("a", 1), ("b", 2)).chosen(0.999).digest == "a"
        assert model(("a", 1), ("b", 2), weights={"a": 90.0, "b": 10.0}).chosen(0.95).digest == "b"
        with pytest.raises(AnswerError, match="takes requests"):
            model(weights={}).chosen(0.5)

    run(work())


def test_a_version_is_asked_for_by_number_or_digest() -> None:
    async def work() -> None:
        found = model(("a", 1), ("b", 2), ("c", 2), weights={"b": 30.0, "c": 70.0})
        assert [found.of_version(asked).digest for asked in ("1", "2", "b")] == ["a", "c", "b"]
        found.versions["a"].state = "failed"
        for asked in ("7", "1"):
            with pytest.raises(AnswerError) as caught:
                found.of_version(asked)
            assert caught.value.status == 404

    run(work())


def test_the_one_before_is_the_next_lower_version_that_is_ready() -> None:
    async def work() -> None:
        found = model(("c", 3), ("a", 1), ("b", 2))
        assert [each.digest if (each := found.before(digest)) else None for digest in "abc"] == [None, "a", "b"]
        found.versions["b"].state = "failed"
        before = found.before("c")
        assert before is not None
        assert before.digest == "a"

    run(work())


def test_a_demoted_version_leaves_its_share_to_the_one_before_and_says_why() -> None:
    async def work() -> None:
        found = model(("a", 1), ("b", 2), weights={"a": 20.0, "b": 80.0})
        found.demote("b", "failed 3 times in a row")
        assert found.traffic == Traffic({"a": 100.0})
        assert found.described()[1] == {
            "digest": "b", "version": 2, "state": "failed", "weight": 0.0, "shadow": 0.0,
            "error": "failed 3 times in a row",
        }  # fmt: skip
        assert list(found.usable) == ["a"]
        assert found.ready

    run(work())


def test_ready_is_what_all_that_take_requests_are() -> None:
    async def work() -> None:
        models = Models()
        assert not models.ready
        found = model(("a", 1), ("b", 2))
        models.add(found)
        assert models.ready
        assert [each.name for each in models] == ["double"]
        found.versions["b"].state = "draining"
        assert models.ready, "it has no weight"
        found.versions["a"].state = "draining"
        assert not models.ready
        with pytest.raises(AnswerError) as caught:
            models.named("other")
        assert caught.value.status == 404

    run(work())


def test_closing_a_version_closes_its_model() -> None:
    closed = []

    async def work() -> None:
        version = ServedVersion(loaded(close=lambda: closed.append(1)), lambda _rows, _seconds: None)
        await version.close()

    run(work())
    assert closed == [1]
