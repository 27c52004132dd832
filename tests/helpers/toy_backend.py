"""A server that speaks as much of the Open Inference Protocol as tests of a proxy need: toy_backend.py PORT DIGEST.

It says which artifact it serves, and answers alike what is alike. ``POST /mode`` lets it fail, lie, be slow, or hang.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web


def application(digest: str) -> web.Application:
    mode = {"now": "good"}

    async def ready(request: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    async def metadata(request: web.Request) -> web.Response:
        return web.json_response({"name": "digits", "parameters": {"digest": digest, "version": 1}})

    async def infer(request: web.Request) -> web.Response:
        asked = sum(await request.read()) % 97
        if mode["now"] == "hang":
            await asyncio.sleep(3600)
        await asyncio.sleep(0.08 if mode["now"] == "slow" else 0.005)
        status = 500 if mode["now"] == "fail" else 200
        data = [float(asked), -1.0 if mode["now"] == "lie" else 1000.0]
        output = {"name": "logits", "datatype": "FP32", "shape": [1, 2], "data": data}
        answer = {"model_name": "digits", "outputs": [output]}
        return web.json_response(answer, status=status, headers={"mlopt-digest": digest})

    async def change(request: web.Request) -> web.Response:
        mode["now"] = await request.text()
        return web.Response()

    routes: list[tuple[str, str, Callable[[web.Request], Awaitable[web.Response]]]] = [
        ("GET", "/v2/health/ready", ready), ("GET", "/v2/models/digits", metadata),
        ("POST", "/v2/models/digits/infer", infer), ("POST", "/mode", change),
    ]  # fmt: skip
    found = web.Application()
    for method, path, handler in routes:
        found.router.add_route(method, path, handler)
    return found


if __name__ == "__main__":
    web.run_app(application(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
