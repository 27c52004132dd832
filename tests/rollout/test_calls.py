"""One call: only to where nobody listens in, bounded, without a redirect; and what goes wrong is told."""

from __future__ import annotations

from typing import Any

import pytest
from rollout_world import listening

from mlopt.core.errors import UserError
from mlopt.rollout.calls import RefusedError, UnreachableError, accepted, call, checked


@pytest.mark.parametrize(
    "url", ["https://example.org", "https://example.org:8443/a", "http://127.0.0.1:80", "http://[::1]:80",
            "http://localhost", "http://127.8.8.8"],
)  # fmt: skip
def test_https_or_this_machine(url: str) -> None:
    assert checked(url).geturl() == url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://example.org", "open to others"), ("http://10.0.0.1", "open to others"),
        ("http://127.0.0.1.example.org", "open to others"), ("http://localhost.example.org", "open to others"),
        ("ftp://127.0.0.1", "no address"), ("127.0.0.1:80", "no address"), ("http://", "no address"),
        ("http://me:secret@127.0.0.1", "no address"), ("http://127.0.0.1:port", "no address"),
        ("http://[::1", "no address"),
    ],
)  # fmt: skip
def test_nothing_else(url: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        checked(url)


def test_what_is_no_secret_may_go_anywhere() -> None:
    assert checked("http://10.0.0.1:9001/v2", anywhere=True).hostname == "10.0.0.1"
    with pytest.raises(UserError, match="no address"):
        checked("ftp://10.0.0.1", anywhere=True)


def test_an_answer() -> None:
    asked: list[Any] = []

    def answer(*request: Any) -> tuple[int, Any, dict[str, str]]:
        asked.append(request)
        return 200, {"a": 1}, {"X-Said": "yes"}

    with listening(answer) as url:
        reply = call("PUT", f"{url}/some/where?x=1", body=b"body", headers={"Authorization": "Bearer t"})
    assert asked == [("PUT", "/some/where?x=1", "Bearer t", b"body")]
    assert (reply.status, reply.json(), reply.headers["x-said"]) == (200, {"a": 1}, "yes")


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with listening(lambda *_: (307, "", {"Location": "http://127.0.0.1:1/else"})) as url:
        reply = call("GET", url)
    assert reply.status == 307
    with pytest.raises(RefusedError) as caught:
        accepted(reply, 200)
    assert caught.value.status == 307


def test_what_was_refused_says_why() -> None:
    with listening(lambda *_: (409, {"error": "it is \x1b[31mred"})) as url, pytest.raises(RefusedError) as caught:
        accepted(call("GET", url), 200)
    assert "HTTP 409" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_an_answer_without_an_object_is_refused() -> None:
    with listening(lambda *_: (200, "[1]")) as url:
        reply = call("GET", url)
    with pytest.raises(RefusedError, match="not a JSON object"):
        reply.json()


def test_an_answer_has_a_limit() -> None:
    with listening(lambda *_: (200, b"x" * 101)) as url:
        assert len(call("GET", url, most=101).body) == 101
        with pytest.raises(RefusedError, match="too large"):
            call("GET", url, most=100)


def test_nobody_there() -> None:
    with pytest.raises(UnreachableError, match="no answer"):
        call("GET", "http://127.0.0.1:1/")
