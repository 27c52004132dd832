"""What a server does unless it is told otherwise."""

from __future__ import annotations

from pathlib import Path

from mlopt.serve.request import ServeRequest


def test_it_listens_on_loopback_and_has_no_admin_api_no_cache_and_no_fallback() -> None:
    request = ServeRequest(((None, Path("a")),))
    assert request.host == "127.0.0.1"
    assert request.token is None
    assert (request.repositories, request.cache_bytes, request.fallback_after) == ((), 0, 0)
