"""A server from its start to its end: load all, listen, and on SIGTERM leave in order.

Nothing is listened to before every artifact was verified and opened. The signals are the event loop's here: what ends
any other verb after a few seconds must wait until the accepted requests are answered.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn

from mlopt.core import network
from mlopt.core.errors import UserError
from mlopt.serve.floor import Floor
from mlopt.serve.request import ServeRequest

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LINGER_S = 0.5
"""How long, after the last answer, those who come late are told so, instead of finding a closed connection."""
_KEEP_ALIVE_S = 75


@dataclass(frozen=True)
class ServerStarted:
    """A server that listens."""

    url: str
    models: tuple[dict[str, Any], ...]
    """By version: model, version, digest, runtime, weight, and why its limits are what they are."""
    admin: bool


@dataclass(frozen=True)
class ServerEnded:
    """A server that left."""

    unanswered: int
    """Accepted requests that were not answered in time."""


def serve(request: ServeRequest, started: Callable[[ServerStarted], None]) -> ServerEnded:
    """Serve until a signal says to end; ``started`` is told when the server listens.

    Raises ``UserError`` for an address that cannot be had, and what loading raises, before anything is listened to.
    """
    with network.opened(), _bound(request.host, request.port) as listener:
        return asyncio.run(_served(request, listener, started))


async def _served(
    request: ServeRequest, listener: socket.socket, started: Callable[[ServerStarted], None]
) -> ServerEnded:
    floor = Floor(request)
    try:
        await floor.load_all()
        return await _listened(request, floor, listener, started)
    finally:
        await floor.close()


async def _listened(
    request: ServeRequest, floor: Floor, listener: socket.socket, started: Callable[[ServerStarted], None]
) -> ServerEnded:
    told = _told_to_end()
    server = _Uvicorn(_config(floor))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.01)
    if not serving.done():
        started(_described(request, floor, listener))
        await _either(serving, told)
    await floor.drain.start(request.drain_delay_s)
    unanswered = await floor.drain.finished(request.drain_timeout_s)
    await asyncio.sleep(_LINGER_S)
    server.should_exit = True
    await serving
    return ServerEnded(unanswered)


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: they start a drain, and this server ends when that is over."""
        yield


def _config(floor: Floor) -> uvicorn.Config:
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # what strangers send is told to them, not to the log
    return uvicorn.Config(
        floor.application(), log_config=None, access_log=False, lifespan="off", ws="none", http="h11",
        server_header=False, proxy_headers=False, timeout_keep_alive=_KEEP_ALIVE_S, timeout_graceful_shutdown=5,
    )  # fmt: skip


def _told_to_end() -> asyncio.Event:
    """Return what is set by the first signal; a second one has its usual effect."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        told.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, tell)
    return told


async def _either(serving: asyncio.Task[None], told: asyncio.Event) -> None:
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting


def _described(request: ServeRequest, floor: Floor, listener: socket.socket) -> ServerStarted:
    host, port = listener.getsockname()[:2]
    models = tuple(
        {
            "model": model.name, "version": each.loaded.version, "digest": each.digest,
            "runtime": each.loaded.runtime, "weight": model.traffic.weight(each.digest),
            "shadow": model.traffic.shadow.get(each.digest, 0.0), "why": list(each.loaded.said),
        }
        for model in floor.models
        for each in model.versions.values()
    )  # fmt: skip
    place = f"[{host}]" if ":" in host else host
    return ServerStarted(f"http://{place}:{port}", models, request.token is not None)


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """Give a socket that has its address, and does not listen yet; raises ``UserError``."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _no_address(host, port, error) from error
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError as error:
            raise _no_address(host, port, error) from error
        yield listener


def _no_address(host: str, port: int, error: OSError) -> UserError:
    return UserError(
        "the server cannot have this address", where=f"{host}:{port}", got=error.strerror or str(error),
        fix="choose another with --host and --port; port 0 takes any that is free",
    )  # fmt: skip
