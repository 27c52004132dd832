"""The way to the server: requests over kept connections, each bounded in time, and what came back or went wrong."""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import MissingPackage, UserError
from mlopt.core.packages import install_command
from mlopt.loadtest.answers import AnswerBook, RawAnswer
from mlopt.loadtest.arrivals import Numbers
from mlopt.loadtest.sender import Fault
from mlopt.loadtest.target import InferTarget
from mlopt.loadtest.volley import CONNECTION, TIMEOUT
from mlopt.protocol.messages import HEADER_LENGTH, Message

if TYPE_CHECKING:
    from aiohttp import ClientSession

DIGEST_HEADER = "mlopt-digest"
_SELECTED = 500
"""So many connections are waited for by ``select``, whose timer is finer than that of ``epoll``: that one has whole
milliseconds. More it cannot hold."""
_IDLE_S = 4.0
"""Servers close what is idle for five."""
_LONGEST = 200
_PATIENCE_S = 10.0
_OK = 200


def imported() -> Any:
    """Return aiohttp; raises ``MissingPackage``."""
    try:
        import aiohttp
    except ImportError as error:
        fix = install_command("loadtest")
        raise MissingPackage("aiohttp is not installed", got="mlopt loadtest", fix=fix) from error
    return aiohttp


def event_loop(connections: int) -> asyncio.AbstractEventLoop:
    """Return a loop whose timer is as fine as the number of connections allows."""
    fine = connections <= _SELECTED
    return asyncio.SelectorEventLoop(selectors.SelectSelector() if fine else selectors.DefaultSelector())


@asynccontextmanager
async def session(connections: int, time_limit_s: float) -> AsyncIterator[ClientSession]:
    """Give a client that keeps at most so many connections and gives a request up after ``time_limit_s``."""
    aiohttp = imported()
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=_IDLE_S)
    timeout = aiohttp.ClientTimeout(total=time_limit_s)
    cookies = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=cookies) as client:
        yield client


@dataclass
class HttpCaller:
    """Sends the request of a number: which sample it carries, and to whom it goes, was drawn before."""

    client: ClientSession
    targets: Sequence[InferTarget]
    messages: Sequence[Message]
    books: Sequence[AnswerBook]
    """One for each server."""
    samples: Numbers
    servers: Numbers

    def __post_init__(self) -> None:
        aiohttp = imported()
        self._broken = aiohttp.ClientError
        self._urls = [target.infer_url for target in self.targets]

    async def ask(self, number: int) -> Fault | None:
        """As ``sender.Ask`` has it; whether an answer is right is found out later, from the book."""
        sample, server = int(self.samples[number]), int(self.servers[number])
        message = self.messages[sample]
        try:
            async with self.client.post(self._urls[server], data=message.body, headers=message.headers) as answer:
                body = await answer.read()
        except TimeoutError:
            return TIMEOUT, "no answer within the time limit"
        except (self._broken, OSError) as error:
            return CONNECTION, f"{type(error).__name__}: {error}"[:_LONGEST]
        if answer.status != _OK:
            return f"http_{answer.status}", _told(body)
        headers = answer.headers
        answered = RawAnswer(body, headers.get(HEADER_LENGTH), headers.get(DIGEST_HEADER))
        self.books[server].note(number, sample, answered)
        return None


def _told(body: bytes) -> str:
    """Return what a server says of an error."""
    try:
        found = json.loads(body[:10_000])
        text = found.get("error") if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        text = None
    return str(text if text is not None else body[:_LONGEST].decode(errors="replace"))[:_LONGEST]


async def check_ready(client: ClientSession, target: InferTarget) -> None:
    """Raise ``UserError`` unless the server answers, and says that the model is ready."""
    status, body = await _got(client, target.ready_url)
    if status != _OK:
        raise UserError(
            "the server says that the model is not ready", where=target.ready_url, got=f"{status} {_told(body)}",
            expected="200", fix="ask for a model that it serves, when it has loaded it",
        )  # fmt: skip


async def metadata(client: ClientSession, target: InferTarget) -> object:
    """Return what the server says of the model; raises ``UserError``."""
    status, body = await _got(client, target.model_url)
    try:
        if status == _OK:
            return json.loads(body)
    except (ValueError, RecursionError):
        pass
    raise UserError(
        "the server does not describe the model", where=target.model_url, got=f"{status} {_told(body)}",
        fix="--artifact DIR says what the model takes",
    )  # fmt: skip


async def _got(client: ClientSession, url: str) -> tuple[int, bytes]:
    aiohttp = imported()
    try:
        async with client.get(url, timeout=aiohttp.ClientTimeout(total=_PATIENCE_S)) as answer:
            return answer.status, await answer.read()
    except (aiohttp.ClientError, OSError) as error:
        raise UserError(
            "no server answers here", where=url, got=f"{type(error).__name__}: {error}"[:_LONGEST],
            fix="start it, or correct the address",
        ) from error  # fmt: skip
