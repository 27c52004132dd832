"""One HTTP call to an admin interface or a registry: no redirects, no proxies, bounded in time and size.

What it is for can change who serves, and may carry a token: so it goes over https, or stays on this machine.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import SplitResult, urlsplit

from mlopt.artifact.files import parse_json, shown
from mlopt.core import network
from mlopt.core.errors import IntegrityError, UserError

LIMIT_S = 30.0
MAX_ANSWER = 64 << 20


class UnreachableError(UserError):
    """Nobody answers, or not in time."""


class RefusedError(UserError):
    """The answer says no."""

    status = 0


@dataclass(frozen=True)
class HttpReply:
    """An answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """By their names in small letters."""
    body: bytes
    url: str

    def json(self) -> dict[str, Any]:
        """Return the object in the body; raises ``RefusedError``."""
        try:
            return parse_json(self.body, self.url)
        except IntegrityError as error:
            raise RefusedError("the answer is not a JSON object", where=self.url, got=error.problems[0].got) from error

    @property
    def reason(self) -> str:
        """What it says went wrong, in one line that may be printed."""
        try:
            said = json.loads(self.body).get("error")
        except (ValueError, AttributeError):
            said = self.body[:200].decode(errors="replace")
        return f"HTTP {self.status} {shown(said or '')}"


def call(
    method: str,
    url: str,
    *,
    body: bytes | IO[bytes] = b"",
    headers: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
    most: int = MAX_ANSWER,
    anywhere: bool = False,
) -> HttpReply:
    """Return the answer; ``anywhere`` is for what asks and tells nothing that others may not know or change.

    Raises ``UserError`` for an address that is not private, ``UnreachableError``.
    """
    with streamed(method, url, body=body, headers=headers, limit_s=limit_s, anywhere=anywhere) as (answer, known):
        found = answer.read(most + 1)
    if len(found) > most:
        raise RefusedError("the answer is too large", where=url, expected=f"at most {most} bytes")
    return HttpReply(answer.status, known, found, url)


@contextmanager
def streamed(
    method: str,
    url: str,
    *,
    body: bytes | IO[bytes] = b"",
    headers: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
    anywhere: bool = False,
) -> Iterator[tuple[http.client.HTTPResponse, Mapping[str, str]]]:
    """Give the answer to be read in pieces, and its headers by their names in small letters. Raises as ``call``."""
    place = checked(url, anywhere=anywhere)
    path = place.path + (f"?{place.query}" if place.query else "")
    with _connection(place, limit_s) as connection:
        connection.request(method, path or "/", body or None, dict(headers or {}))
        answer = connection.getresponse()
        yield answer, {name.lower(): value for name, value in answer.getheaders()}


def accepted(reply: HttpReply, *statuses: int) -> HttpReply:
    """Return the reply if its status is one of these; raises ``RefusedError``."""
    if reply.status in statuses:
        return reply
    error = RefusedError("the request was refused", where=reply.url, got=reply.reason)
    error.status = reply.status
    raise error


def checked(url: str, *, anywhere: bool = False) -> SplitResult:
    """Return the parts of an address; raises ``UserError`` unless it is https, or http on this machine or anywhere."""
    try:
        place = urlsplit(url)
        host, _ = place.hostname, place.port
    except ValueError:
        place, host = urlsplit(""), None
    if place.scheme not in {"http", "https"} or not host or place.username or place.fragment:
        raise UserError("this is no address", got=shown(url), expected="https://HOST[:PORT], or http://127.0.0.1:PORT")
    if place.scheme == "http" and not anywhere and not is_loopback(host):
        raise UserError(
            "the way there is open to others: what it carries could be read and changed", where=shown(url),
            expected="https, or http on this machine",
            fix="use https, or a tunnel: `ssh -L PORT:127.0.0.1:PORT HOST`",
        )  # fmt: skip
    return place


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def _connection(place: SplitResult, limit_s: float) -> Iterator[http.client.HTTPConnection]:
    host, where = place.hostname or "", f"{place.scheme}://{place.netloc}"
    secure = place.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    try:
        with network.opened():
            connection = kind(host, place.port, timeout=limit_s)
            try:
                yield connection
            finally:
                connection.close()
    except (OSError, http.client.HTTPException, ssl.SSLError) as error:
        raise UnreachableError(
            "there is no answer", where=where, got=shown(str(error) or type(error).__name__),
            fix="is it running, and is this its address?",
        ) from error  # fmt: skip
