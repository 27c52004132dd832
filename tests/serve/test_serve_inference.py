"""An inference request from its body to its answer, without a socket and without waiting."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from served_floor import answer, parts
from served_models import LIMITS, POISON, Doubling, loaded, row
from virtual_time import Held, run

from mlopt.formats.model import TensorSpec
from mlopt.serve import inference
from mlopt.serve.response_cache import ResponseCache
from mlopt.serve.tap import Tap
from mlopt.serve.traffic import Traffic

PLAIN = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}


def test_json_and_binary_come_back_with_who_answered() -> None:
    async def work() -> None:
        server = parts(loaded(digest="d" * 64, version=3))
        for binary in (True, False):
            reply = await server.infer(row(1.0, 2.0), binary=binary)
            found = answer(reply)
            assert found.outputs["y"].tolist() == [[2.0, 2.0], [4.0, 4.0]]
            assert found.outputs["y"].dtype == np.float32
            assert (found.model_name, found.model_version) == ("double", "3")
            assert found.parameters == {"digest": "d" * 64, "version": "3"}
            assert (reply.headers["mlopt-digest"], reply.headers["mlopt-version"]) == ("d" * 64, "3")

    run(work())


def test_the_id_and_the_outputs_that_are_wanted() -> None:
    two = lambda feeds: {"y": feeds["x"] * 2, "z": feeds["x"] * 3}  # noqa: E731
    outputs = tuple(TensorSpec(name, "float32", ("batch", 2)) for name in "yz")

    async def work() -> None:
        server = parts(loaded(two, outputs=outputs))
        asked = PLAIN | {"id": "7", "outputs": [{"name": "z"}]}
        reply = await server.ask("POST", "/v2/models/double/infer", asked)
        found = reply.document
        assert (found["id"], [each["name"] for each in found["outputs"]]) == ("7", ["z"])
        assert found["outputs"][0]["data"] == [3, 6]
        reply = await server.ask("POST", "/v2/models/double/infer", PLAIN | {"outputs": [{"name": "odd"}]})
        assert reply.status == 400

    run(work())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not JSON"), (b"[]", "must be an object"), ({"inputs": []}, "an input is missing"),
        ({"inputs": [PLAIN["inputs"][0] | {"datatype": "INT8"}]}, "of another type"),
        ({"inputs": [PLAIN["inputs"][0] | {"shape": [2, 2]}]}, "do not go together"),
        ({"inputs": [PLAIN["inputs"][0] | {"shape": [1, 1, 2]}]}, "another number of axes"),
        ({"inputs": [PLAIN["inputs"][0] | {"shape": [0, 2], "data": []}]}, "no rows"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_400_in_one_sentence_and_never_runs(body: Any, said: str) -> None:
    async def work() -> None:
        model = Doubling()
        server = parts(loaded(model))
        reply = await server.ask("POST", "/v2/models/double/infer", body)
        assert reply.status == 400
        assert list(reply.document) == ["error"]
        assert said in reply.document["error"]
        assert model.runs == []
        assert server.figures()("mlopt_requests_total", model="double", digest="a" * 64, code="400") == 1

    run(work())


def test_nan_in_json_is_400_and_comes_in_binary() -> None:
    async def work() -> None:
        server = parts(loaded(lambda feeds: {"y": feeds["x"] * np.float32(np.nan)}))
        assert (await server.infer(row(1.0), binary=False)).status == 400
        assert np.isnan(answer(await server.infer(row(1.0))).outputs["y"]).all()

    run(work())


def test_late_too_large_and_failed() -> None:
    async def work() -> None:
        server = parts(loaded(thread=Held()), max_body=200)
        late = await server.infer(row(1.0), mlopt_timeout_ms="50")
        assert late.status == 504
        assert "connection" not in late.headers
        large = await server.infer(row(*range(50)))
        assert (large.status, large.headers["connection"]) == (413, "close")
        failed = await parts().infer(row(POISON))
        assert (failed.status, failed.document["error"]) == (
            500, "the model could not answer: the model does not take poison",
        )  # fmt: skip

    run(work())


def test_a_server_that_drains_says_so_and_closes_the_connection() -> None:
    async def work() -> None:
        server = parts()
        await server.inference.drain.start()
        reply = await server.infer(row(1.0))
        assert (reply.status, reply.headers["retry-after"], reply.headers["connection"]) == (503, "1", "close")

    run(work())


def test_weights_choose_and_a_path_or_digest_pins() -> None:
    async def work() -> None:
        points = iter([0.1, 0.95, 0.5])
        server = parts(
            loaded(digest="a", version=1), loaded(Doubling(3.0), digest="b", version=2), point=lambda: next(points)
        )  # fmt: skip
        server.models.named("double").traffic = Traffic({"a": 90.0, "b": 10.0})
        replies = [await server.infer(row(1.0)) for _ in range(3)]
        assert [reply.headers["mlopt-digest"] for reply in replies] == ["a", "b", "a"]
        for version in ("2", "b"):
            pinned = await server.infer(row(1.0), f"/v2/models/double/versions/{version}")
            assert answer(pinned).outputs["y"][0, 0] == 3.0
        assert (await server.infer(row(1.0), "/v2/models/double/versions/9")).status == 404
        assert (await server.infer(row(1.0), "/v2/models/other")).status == 404

    run(work())


def test_a_cache_answers_what_was_asked_before_of_the_same_artifact() -> None:
    async def work() -> None:
        model = Doubling()
        server = parts(loaded(model), cache=ResponseCache(1 << 20))
        for _ in range(3):
            assert answer(await server.infer(row(1.0))).outputs["y"][0, 0] == 2.0
        await server.infer(row(2.0))
        assert model.runs == [1, 1]
        figures = server.figures()
        assert figures("mlopt_cache_total", model="double", result="hit") == 2
        assert figures("mlopt_cache_total", model="double", result="miss") == 2
        assert figures("mlopt_executions_total", model="double", digest="a" * 64) == 2

    run(work())


def broken(_feeds: Mapping[str, Any]) -> Any:
    raise RuntimeError("broken")


def test_a_version_that_fails_again_and_again_is_replaced_by_the_one_before_and_no_request_is_lost() -> None:
    async def work() -> None:
        server = parts(loaded(digest="a"), loaded(broken, digest="b", version=2), fallback_after=3)
        model = server.models.named("double")
        model.traffic = Traffic({"b": 100.0})
        replies = [await server.infer(row(1.0)) for _ in range(5)]
        assert [(reply.status, reply.headers["mlopt-digest"]) for reply in replies] == [(200, "a")] * 5
        assert model.traffic == Traffic({"a": 100.0})
        assert model.versions["b"].error == "failed 3 times in a row"
        figures = server.figures()
        assert figures("mlopt_fallbacks_total", model="double", digest="b") == 3
        assert (
            figures("mlopt_weight", model="double", digest="a"),
            figures("mlopt_weight", model="double", digest="b"),
        ) == (1, 0)

    run(work())


def test_a_request_that_every_version_fails_demotes_none() -> None:
    async def work() -> None:
        server = parts(loaded(digest="a"), loaded(digest="b", version=2), fallback_after=1)
        model = server.models.named("double")
        model.traffic = Traffic({"b": 100.0})
        assert (await server.infer(row(POISON))).status == 500
        assert model.versions["b"].state == "ready"

    run(work())


def test_without_a_fallback_or_where_a_version_is_pinned_a_failure_is_told() -> None:
    async def work() -> None:
        plain = parts(loaded(digest="a"), loaded(broken, digest="b", version=2))
        plain.models.named("double").traffic = Traffic({"b": 100.0})
        assert (await plain.infer(row(1.0))).status == 500
        server = parts(loaded(digest="a"), loaded(broken, digest="b", version=2), fallback_after=1)
        assert (await server.infer(row(1.0), "/v2/models/double/versions/b")).status == 500

    run(work())


def test_a_shadow_that_hangs_changes_neither_answer_nor_time() -> None:
    async def work() -> None:
        server = parts(loaded(digest="a"), loaded(digest="b", version=2, thread=Held()))
        server.models.named("double").traffic = Traffic({"a": 100.0}, {"b": 100.0})
        began = asyncio.get_running_loop().time()
        for _ in range(40):
            assert answer(await server.infer(row(1.0))).outputs["y"][0, 0] == 2.0
        assert asyncio.get_running_loop().time() == began, "nothing was waited for"
        assert server.figures()("mlopt_shadow_dropped_total", model="double", digest="b") == 24
        await server.inference.mirror.close()

    run(work())


class Noting:
    def __init__(self) -> None:
        self.rows = 0

    def seen(self, model: str, digest: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        self.rows += len(inputs["x"])

    def document(self, model: str) -> Mapping[str, Any]:
        return {"a": {"rows": self.rows}}


def test_an_observer_sees_what_was_answered() -> None:
    async def work() -> None:
        observer, counted = Noting(), []
        tap = Tap(observer, lambda *told: counted.append(told))
        server = parts(tap=tap)
        await server.infer(row(1.0, 2.0))
        await server.infer(row(POISON))
        assert observer.rows == 2
        assert counted == [("double", "a" * 64, 2)]
        assert (await server.admin("GET", "models/double/sketches")).document == {"a": {"rows": 2}}

    run(work())


def test_a_large_body_is_read_outside_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[str] = []
    read = inference.read_request

    def noting(*given: Any) -> Any:
        places.append(threading.current_thread().name)
        return read(*given)

    monkeypatch.setattr(inference, "read_request", noting)

    async def work() -> None:
        server = parts(loaded(limits=LIMITS))
        await server.infer(row(1.0))
        await server.infer(row(*range(20_000)))
        assert places[0] == threading.main_thread().name
        assert places[1] != places[0]

    asyncio.run(work())


def test_requests_in_one_batch_are_answered_each_with_its_own() -> None:
    async def work() -> None:
        model = Doubling()
        server = parts(loaded(model))
        replies = await asyncio.gather(*(server.infer(row(float(n))) for n in range(8)))
        assert [answer(reply).outputs["y"][0, 0] for reply in replies] == [2.0 * n for n in range(8)]
        assert len(model.runs) < 8
        assert json.loads((await server.infer(row(1.0), binary=False)).body)["outputs"][0]["data"] == [2.0, 2.0]

    run(work())
