"""The routes of the protocol, asked without a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from served_floor import parts
from served_models import loaded, row
from virtual_time import run

from mlopt.serve import metadata


def test_health_metadata_and_metrics() -> None:
    async def work() -> None:
        server = parts(loaded(digest="d", version=3))
        assert (await server.ask("GET", "/v2")).document["extensions"] == ["binary_tensor_data"]
        for path in ("health/live", "health/ready", "models/double/ready", "models/double/versions/3/ready"):
            assert (await server.ask("GET", f"/v2/{path}")).status == 200
        for path in ("models/double", "models/double/versions/3"):
            reply = await server.ask("GET", f"/v2/{path}")
            assert reply.document["parameters"] == {"digest": "d", "version": "3"}
            assert reply.headers["mlopt-digest"] == "d"
        scrape = await server.ask("GET", "/metrics")
        assert scrape.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert b"mlopt_queue_rows" in scrape.body

    run(work())


def test_what_is_unknown_is_an_error_in_json() -> None:
    async def work() -> None:
        server = parts()
        for method, path, status in (
            ("GET", "/v2/models/odd", 404), ("GET", "/v2/models/double/versions/9/ready", 404), ("GET", "/odd", 404),
            ("POST", "/v2/models/odd/infer", 404), ("GET", "/v2/models/double/infer", 405), ("POST", "/v2", 405),
        ):  # fmt: skip
            reply = await server.ask(method, path)
            assert (reply.status, list(reply.document)) == (status, ["error"])

    run(work())


def test_readiness_goes_with_the_drain_and_liveness_stays() -> None:
    async def work() -> None:
        server = parts()
        await server.inference.drain.start()
        for path in ("health/ready", "models/double/ready", "models/double/versions/1/ready"):
            assert (await server.ask("GET", f"/v2/{path}")).status == 503
        assert (await server.ask("GET", "/v2/health/live")).status == 200

    run(work())


def test_a_model_whose_version_failed_is_not_ready() -> None:
    async def work() -> None:
        server = parts()
        server.models.named("double").versions["a" * 64].state = "failed"
        assert (await server.ask("GET", "/v2/models/double/ready")).status == 503
        assert (await server.ask("GET", "/v2/health/ready")).status == 503

    run(work())


def test_a_fault_of_the_server_is_500_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("/secret/path")

    monkeypatch.setattr(metadata, "of_model", broken)

    async def work() -> None:
        reply = await parts().ask("GET", "/v2/models/double")
        assert (reply.status, reply.document) == (500, {"error": "a fault of the server: KeyError"})

    run(work())


def test_the_queue_is_told_in_rows() -> None:
    async def work() -> None:
        server = parts()
        await asyncio.gather(*(server.infer(row(1.0, 2.0)) for _ in range(3)))
        assert server.figures()("mlopt_queue_rows", model="double") == 0
        assert server.figures()("mlopt_rows_total", model="double", digest="a" * 64) == 6

    run(work())
