"""A request's body and its headers, read within bounds of size and time, whatever whoever sends them does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mlopt.serve.faults import AnswerError, bad, late

if TYPE_CHECKING:
    from starlette.requests import Request

TIMEOUT_HEADER = "mlopt-timeout-ms"
_LONGEST_MS = 600_000.0


def too_large(most: int) -> AnswerError:
    """Return what says that a body is too large."""
    return AnswerError(413, "the request is too large", expected=f"at most {most:,} bytes", unread=True)


async def body_of(request: Request, most: int, deadline: float) -> bytes:
    """Return the body; raises ``AnswerError``: 413 above ``most`` bytes, 504 if it has not come by the deadline."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise AnswerError(415, "the body is encoded, and only plain ones are read", encoding[:40], unread=True)
    stated = request.headers.get("content-length", "0")
    if not (stated.isascii() and stated.isdigit()) or int(stated[:18]) > most:
        raise too_large(most)
    parts, size = [], 0
    try:
        async with asyncio.timeout_at(deadline):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large(most)
                parts.append(part)
    except TimeoutError:
        raise late(unread=True) from None
    return b"".join(parts)


def timeout_s(header: str | None, default_s: float) -> float:
    """Return how long a request may take: as it says itself, in milliseconds, or the server's default.

    Raises ``AnswerError`` (400) for anything but a number above 0.
    """
    if header is None:
        return default_s
    try:
        asked = float(header)
    except ValueError:
        asked = 0.0
    if not 0 < asked <= _LONGEST_MS:
        raise bad(f"{TIMEOUT_HEADER} is a number of milliseconds", header[:40], f"above 0, at most {_LONGEST_MS:g}")
    return asked / 1000
