"""One document from a server that the user named: HTTP only, from that host alone, in bounded time and size.

No redirect is followed, no proxy asked, no other scheme known, so a server cannot send this process elsewhere, and a
token goes to nobody but the host that it is for.
"""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from urllib.parse import urlsplit

from mlopt.core import network
from mlopt.core.errors import UserError
from mlopt.core.foreign_text import plain

SCHEMES = ("http://", "https://")
MAX_BYTES = 16 << 20
SECONDS = 10.0
_CHUNK = 1 << 16


def is_url(text: str) -> bool:
    """Whether this names a document on a server."""
    return text.lower().startswith(SCHEMES)


def read_file(path: Path, what: str, limit: int = MAX_BYTES) -> bytes:
    """Return a file's bytes, at most ``limit``; raises ``UserError``, in which ``what`` says what it was to be."""
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise UserError(
            f"{what} cannot be read: {error.strerror}", where=str(path), fix="name a file that exists and may be read"
        ) from error
    if len(data) > limit:
        raise UserError(
            f"the file is too large for {what}", where=str(path), got=f"more than {limit} bytes",
            expected=f"at most {limit}", fix="name another file",
        )  # fmt: skip
    return data


def fetch(url: str, *, token: str | None = None, limit: int = MAX_BYTES, seconds: float = SECONDS) -> bytes:
    """Return the body of the answer to GET, of at most ``limit`` bytes, within ``seconds`` in all.

    ``token`` is sent as a bearer's. Raises ``UserError``, also for any answer but 200.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise UserError(
            "this is no address that can be asked", where=plain(url[:200]), expected="http://HOST:PORT/PATH"
        )
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    ends = time.monotonic() + seconds
    with network.opened():
        try:
            connection = kind(parts.hostname, parts.port, timeout=seconds)
            try:
                return _body(connection, f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", token,
                             (url, limit, ends))  # fmt: skip
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UserError("the server does not answer", where=plain(url[:200]),
                            got=plain(str(error) or type(error).__name__)) from error  # fmt: skip


def _body(connection: http.client.HTTPConnection, path: str, token: str | None, asked: tuple[str, int, float]) -> bytes:
    url = asked[0]
    headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})
    connection.request("GET", path, headers=headers)
    with connection.getresponse() as answer:
        if answer.status != http.client.OK:
            fix = "give the server's token with --admin-token-file" if answer.status == 401 else None
            raise UserError("the server refuses", where=plain(url[:200]), got=f"{answer.status} {plain(answer.reason)}",
                            expected="200", fix=fix)  # fmt: skip
        return _read(answer, asked)


def _read(answer: http.client.HTTPResponse, asked: tuple[str, int, float]) -> bytes:
    url, limit, ends = asked
    found = bytearray()
    while chunk := answer.read1(_CHUNK):
        found += chunk
        if len(found) > limit:
            raise UserError("the answer is too large", where=plain(url[:200]), expected=f"at most {limit} bytes")
        if time.monotonic() > ends:
            raise TimeoutError("it takes too long")
    return bytes(found)
