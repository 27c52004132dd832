"""A server of the protocol in a thread of the test: the model of ``predicted.words``, with whatever fault is wanted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import numpy as np
import predicted
from aiohttp import web

from mlopt.core import network
from mlopt.protocol.messages import HEADER_LENGTH, InferAnswer, read_request, write_answer

Handler = Callable[[web.Request], Awaitable[web.Response]]
_INPUTS = [
    {"name": "ids", "datatype": "INT64", "shape": [-1, predicted.TOKENS]},
    {"name": "x", "datatype": "FP32", "shape": [-1]},
]


def right(digest: str | None = None, delay_s: float = 0.0, shift: float = 0.0) -> Handler:
    """Return what answers as the model does, so much later, its numbers shifted by so much."""

    async def infer(request: web.Request) -> web.Response:
        asked = read_request(await request.read(), request.headers.get(HEADER_LENGTH))
        if delay_s:
            await asyncio.sleep(delay_s)
        with np.errstate(invalid="ignore"):
            outputs = {"embedding": predicted.TABLE[asked.inputs["ids"]] + np.float32(shift),
                       "root": np.sqrt(asked.inputs["x"])}  # fmt: skip
        parameters = {} if digest is None else {"digest": digest}
        message = write_answer(InferAnswer(outputs, "words", parameters=parameters), None)
        headers = dict(message.headers) | ({"mlopt-digest": digest} if digest is not None else {})
        return web.Response(body=message.body, headers=headers)

    return infer


async def _ready(_: web.Request) -> web.Response:
    return web.json_response({"ready": True})


async def _described(_: web.Request) -> web.Response:
    return web.json_response({"name": "words", "inputs": _INPUTS})


@contextmanager
def served(infer: Handler, model: str = "words") -> Iterator[str]:
    """Give the address of a server on loopback that is gone afterwards."""
    started, stop = threading.Event(), asyncio.Event()
    found: list[tuple[asyncio.AbstractEventLoop, str]] = []

    async def serve() -> None:
        app = web.Application()
        app.router.add_get(f"/v2/models/{model}", _described)
        app.router.add_get(f"/v2/models/{model}/ready", _ready)
        app.router.add_post(f"/v2/models/{model}/infer", infer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        found.append((asyncio.get_running_loop(), f"http://127.0.0.1:{port}"))
        started.set()
        await stop.wait()
        await runner.cleanup()

    with network.opened():
        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            assert started.wait(10)
            yield found[0][1]
        finally:
            found[0][0].call_soon_threadsafe(stop.set)
            thread.join(10)
