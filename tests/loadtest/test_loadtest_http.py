"""The way to the server: what comes back, and what goes wrong by kind; on loopback."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import predicted
import pytest
from aiohttp import web
from load_server import right, served

from mlopt.core.errors import MissingPackage, UserError
from mlopt.loadtest import http
from mlopt.loadtest.answers import AnswerBook, AnswerCheck
from mlopt.loadtest.http import HttpCaller, check_ready, event_loop, imported, metadata, session
from mlopt.loadtest.sender import Fault
from mlopt.loadtest.target import InferTarget, parsed
from mlopt.loadtest.volley import Volley
from mlopt.protocol.messages import write_request

pytestmark = pytest.mark.process  # a server in a thread, and time limits that are waited for


def run(work: Callable[[Any], Awaitable[Any]], time_limit_s: float = 5.0) -> Any:
    async def all_of_it() -> Any:
        async with session(10, time_limit_s) as client:
            return await work(client)

    with asyncio.Runner(loop_factory=lambda: event_loop(10)) as runner:
        return runner.run(all_of_it())


def ask(target: InferTarget, check: AnswerCheck | None = None, time_limit_s: float = 5.0) -> Fault | None:
    """Ask once, and look at the answer."""
    rows = predicted.rows(1)
    book = AnswerBook(check or AnswerCheck(None, {}))

    async def once(client: Any) -> Fault | None:
        nobody = np.zeros(1, np.intp)
        caller = HttpCaller(client, [target], [write_request(rows)], [book], nobody, nobody)
        return await caller.ask(0)

    fault, volley = run(once, time_limit_s), Volley.planned(np.zeros(1))
    book.settle(volley)
    return fault or ((volley.failed[0], volley.examples[volley.failed[0]]) if volley.failed[0] else None)


def own(rows: dict[str, np.ndarray]) -> AnswerCheck:
    return AnswerCheck([{"embedding": predicted.TABLE[rows["ids"]], "root": np.sqrt(rows["x"])}], {}, "ab")


def test_a_right_answer_is_no_failure_and_a_wrong_one_is() -> None:
    check = own(predicted.rows(1))
    with served(right("ab")) as url:
        assert ask(parsed(url, "words"), check) is None
    for server, kind in ((right("cd"), "digest"), (right("ab", shift=1.0), "wrong")):
        with served(server) as url:
            found = ask(parsed(url, "words"), check)
        assert found is not None
        assert found[0] == kind


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (lambda: web.json_response({"error": "the queue is full"}, status=503), "http_503", "the queue is full"),
        (lambda: web.Response(text="<html>no</html>", status=404), "http_404", "<html>no</html>"),
        (lambda: web.json_response([1], status=500), "http_500", "[1]"),
        (lambda: web.Response(text="hello"), "unreadable", "not JSON"),
    ],
)
def test_what_goes_wrong_has_its_kind(answer: Callable[[], web.Response], kind: str, told: str) -> None:
    async def infer(_: web.Request) -> web.Response:
        return answer()

    with served(infer) as url:
        found = ask(parsed(url, "words"))
    assert found is not None
    assert found[0] == kind
    assert told in found[1]


def test_no_answer_in_time_and_no_connection_are_two_things() -> None:
    with served(right(delay_s=1)) as url:
        late = ask(parsed(url, "words"), time_limit_s=0.1)
    gone = ask(parsed(url, "words"))
    assert late is not None
    assert gone is not None
    assert (late[0], gone[0]) == ("timeout", "connection")


def test_a_server_is_asked_whether_it_is_ready_and_what_it_takes() -> None:
    with served(right()) as url:
        run(lambda client: check_ready(client, parsed(url, "words")))
        found = run(lambda client: metadata(client, parsed(url, "words")))
        assert found["inputs"][0]["name"] == "ids"
        with pytest.raises(UserError, match="is not ready"):
            run(lambda client: check_ready(client, parsed(url, "other")))
        with pytest.raises(UserError, match="does not describe the model"):
            run(lambda client: metadata(client, parsed(url, "other")))
    with pytest.raises(UserError, match="no server answers here"):
        run(lambda client: check_ready(client, parsed(url, "words")))


def test_few_connections_have_the_finer_timer() -> None:
    fine, coarse = event_loop(10), event_loop(10_000)
    names = [type(loop._selector).__name__ for loop in (fine, coarse)]  # type: ignore[attr-defined]
    fine.close()
    coarse.close()
    assert names[0] == "SelectSelector"
    assert names[1] != "SelectSelector"


def test_without_aiohttp_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.setattr(http, "install_command", lambda extra: f"pip install mlopt[{extra}]")
    with pytest.raises(MissingPackage, match="aiohttp is not installed") as caught:
        imported()
    assert "mlopt[loadtest]" in str(caught.value)
