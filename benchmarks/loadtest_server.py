"""A server of the Open Inference Protocol whose latency is known: what it takes, and when it stalls, is its schedule.

python benchmarks/loadtest_server.py [--takes-ms 20] [--spread 0.2] [--stall 1 --every 4] [--seed 0]

It answers each request after a time of its own (gamma-distributed around ``--takes-ms``, of that relative spread),
without a queue. With ``--stall``, it does nothing for so many seconds at the beginning of each ``--every`` seconds: a
request that comes then waits for the end of the stall first. It listens on loopback, on a free port, says so on
standard error, and ends on SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time

import numpy as np
from aiohttp import web

from mlopt.protocol.messages import HEADER_LENGTH, InferAnswer, read_request, write_answer

MODEL = "doubled"
_INPUTS = [{"name": "x", "datatype": "FP32", "shape": [-1, 16]}]


class Schedule:
    """When a request is answered that comes now."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._stall, self._every = options.stall, options.every
        self._shape, self._scale = 1 / options.spread**2, options.takes_ms / 1000 * options.spread**2
        self._random = np.random.default_rng(options.seed)
        self._began = time.monotonic()

    def wait_s(self) -> float:
        """Return the seconds until then."""
        phase = (time.monotonic() - self._began) % self._every
        return max(self._stall - phase, 0.0) + float(self._random.gamma(self._shape, self._scale))


def application(schedule: Schedule) -> web.Application:
    """Return the server."""

    async def infer(request: web.Request) -> web.Response:
        wait_s = schedule.wait_s()
        asked = read_request(await request.read(), request.headers.get(HEADER_LENGTH))
        await asyncio.sleep(wait_s)
        message = write_answer(InferAnswer({"y": 2 * asked.inputs["x"]}, MODEL), None)
        return web.Response(body=message.body, headers=dict(message.headers))

    async def ready(_: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    async def described(_: web.Request) -> web.Response:
        return web.json_response({"name": MODEL, "inputs": _INPUTS})

    app = web.Application()
    app.router.add_get(f"/v2/models/{MODEL}", described)
    app.router.add_get(f"/v2/models/{MODEL}/ready", ready)
    app.router.add_post(f"/v2/models/{MODEL}/infer", infer)
    return app


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    runner = web.AppRunner(application(Schedule(options)), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"serving on http://127.0.0.1:{runner.addresses[0][1]}", file=sys.stderr, flush=True)
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--takes-ms", type=float, default=20.0)
    parser.add_argument("--spread", type=float, default=0.2)
    parser.add_argument("--stall", type=float, default=0.0)
    parser.add_argument("--every", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
