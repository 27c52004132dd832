"""A server's models opened from artifacts, their first weights, and candidates that are taken in or refused."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import asgi
import predicted
import pytest
import served_artifacts
from served_floor import AUTHORIZED, TOKEN

from mlopt.artifact.verify import verify
from mlopt.core.errors import IntegrityError, UserError
from mlopt.protocol.messages import read_answer, write_request
from mlopt.serve.floor import Floor
from mlopt.serve.request import ServeRequest
from mlopt.serve.traffic import Traffic

IDS = {"ids": predicted.rows(1)["ids"]}


def of(*artifacts: Path | tuple[str, Path], **changes: Any) -> ServeRequest:
    return ServeRequest(
        tuple(each if isinstance(each, tuple) else (None, each) for each in artifacts), **changes
    )  # fmt: skip


def copies() -> list[str]:
    return [each.name for each in Path(tempfile.gettempdir()).glob("mlopt-model-*")]


def with_floor(request: ServeRequest, work: Any) -> Any:
    async def whole() -> Any:
        floor = Floor(request)
        try:
            await floor.load_all()
            found = work(floor)
            return await found if isinstance(found, Coroutine) else found
        finally:
            await floor.close()

    return asyncio.run(whole())


def test_several_artifacts_of_one_name_are_versions_of_one_model(tmp_path: Path) -> None:
    first, second = served_artifacts.versions(tmp_path, 2.0, 3.0)
    digests = [verify(each).root for each in (first, second)]

    def look(floor: Floor) -> None:
        (model,) = floor.models
        assert model.name == "words"
        assert list(model.versions) == digests
        assert model.traffic == Traffic({digests[0]: 100.0, digests[1]: 0.0})

    with_floor(of(first, second), look)


def test_weights_and_shadows_from_the_start(tmp_path: Path) -> None:
    first, second = served_artifacts.versions(tmp_path, 2.0, 3.0)

    def look(floor: Floor) -> None:
        (model,) = floor.models
        assert model.name == "w"
        assert list(model.traffic.weights.values()) == [90.0, 10.0]
        assert list(model.traffic.shadow.values()) == [0.0, 20.0]

    named = (("w", first), ("w", second))
    with_floor(of(*named, weights={"w": (90.0, 10.0)}, shadow={"w": (0.0, 20.0)}), look)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": {"odd": (100.0,)}}, "a model that is not served"),
        ({"weights": {"words": (90.0,)}}, "come to 100"),
        ({"weights": {"words": (50.0, 50.0)}}, "one weight for each artifact"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_an_error(tmp_path: Path, changes: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        with_floor(of(*served_artifacts.versions(tmp_path, 2.0), **changes), lambda _floor: None)


def test_what_cannot_be_served_is_an_error(tmp_path: Path) -> None:
    (first,) = served_artifacts.versions(tmp_path, 2.0)
    with pytest.raises(UserError, match="loaded already"):
        with_floor(of(first, first), lambda _floor: None)
    with pytest.raises(UserError, match="no place in a URL"):
        with_floor(of(("a/b", first)), lambda _floor: None)
    things = predicted.artifact(tmp_path / "things", predicted.things)
    with pytest.raises(UserError, match="of another model"):
        with_floor(of(("w", first), ("w", things)), lambda _floor: None)
    (first / "model.onnx").write_bytes(b"hostile")
    with pytest.raises(IntegrityError):
        with_floor(of(first), lambda _floor: None)
    assert copies() == []


def test_a_hot_swap_by_digest_and_every_bad_candidate_leaves_the_old_one_serving(tmp_path: Path) -> None:
    first, second, third = served_artifacts.versions(tmp_path / "repository", 2.0, 3.0, 5.0)
    broken, other = third, predicted.artifact(tmp_path / "repository/things", predicted.things)
    (broken / "model.onnx").write_bytes((broken / "model.onnx").read_bytes()[:-50])
    (tmp_path / "repository/empty").mkdir()

    async def swap(floor: Floor) -> None:
        app = floor.application()

        async def admin(method: str, path: str, body: Any) -> asgi.Reply:
            return await asgi.ask(app, method, f"/admin/models/words/{path}", body, AUTHORIZED)

        async def times() -> float:
            message = write_request(IDS)
            reply = await asgi.ask(app, "POST", "/v2/models/words/infer", message.body, message.headers)
            found = read_answer(reply.body, reply.headers["inference-header-content-length"]).outputs["embedding"]
            return float(found.max() / predicted.TABLE[IDS["ids"]].max())

        for body in (
            {"artifact": str(broken)}, {"artifact": str(other)}, {"artifact": "empty"},
            {"artifact": "3/words", "digest": "0" * 64}, {"artifact": str(first)},
        ):  # fmt: skip
            reply = await admin("POST", "load", body)
            assert reply.status == 409, reply
            assert str(tmp_path) not in reply.document["error"]
            assert await times() == 3.0
        (model,) = floor.models
        assert list(model.versions) == [verify(second).root]
        reply = await admin("POST", "load", {"artifact": "1/words", "allow_older": True, "digest": verify(first).root})
        assert reply.status == 200
        assert await times() == 3.0
        await admin("PUT", "traffic", {"weights": {verify(first).root: 100}})
        assert await times() == 2.0
        assert (await admin("POST", "unload", {"digest": verify(second).root})).status == 200
        assert await times() == 2.0

    with_floor(of(second, token=TOKEN, repositories=(tmp_path / "repository",)), swap)
