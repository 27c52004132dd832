"""Bodies and headers within bounds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from virtual_time import run

from mlopt.serve.bodies import body_of, timeout_s
from mlopt.serve.faults import AnswerError


def request(*parts: bytes, pause: float = 0.0, **headers: str) -> Request:
    left = list(parts)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": left.pop(0) if left else b"", "more_body": bool(left)}

    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "headers": named}, receive)


def status(asked: Request, most: int = 10, seconds: float = 1.0) -> tuple[int, bool]:
    async def work() -> tuple[int, bool]:
        with pytest.raises(AnswerError) as caught:
            await body_of(asked, most, asyncio.get_running_loop().time() + seconds)
        return caught.value.status, caught.value.unread

    return run(work())


def test_a_body_in_parts_is_joined() -> None:
    async def work() -> bytes:
        return await body_of(request(b"abc", b"", b"def"), 6, asyncio.get_running_loop().time() + 1)

    assert run(work()) == b"abcdef"


def test_one_that_is_too_large_is_413_by_what_it_says_and_by_what_it_is() -> None:
    assert status(request(b"", content_length="11")) == (413, True)
    assert status(request(b"123456", b"123456")) == (413, True)
    assert status(request(b"", content_length="²")) == (413, True)


def test_one_that_comes_too_slowly_is_504() -> None:
    assert status(request(*[b"a"] * 9, pause=0.3)) == (504, True)


def test_one_that_is_encoded_is_415() -> None:
    assert status(request(b"", content_encoding="gzip")) == (415, True)


def test_the_time_that_a_request_states() -> None:
    assert timeout_s(None, 2.0) == 2.0
    assert timeout_s("250", 2.0) == 0.25
    assert timeout_s("5000", 2.0) == 5.0
    for header in ("", "soon", "0", "-5", "nan", "inf", "1e9"):
        with pytest.raises(AnswerError, match="mlopt-timeout-ms"):
            timeout_s(header, 2.0)
