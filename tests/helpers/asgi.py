"""An ASGI application asked without a socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    """Their names in small letters."""
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: Any, method: str, path: str, body: bytes | dict[str, Any] = b"", headers: Mapping[str, str] | None = None
) -> Reply:
    """Send one request; a body that is no bytes goes as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"content-length": str(len(data))} | {name.lower(): value for name, value in (headers or {}).items()}
    sent: list[dict[str, Any]] = []
    left = [{"type": "http.request", "body": data, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return left.pop(0) if left else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "scheme": "http", "http_version": "1.1", "server": ("test", 80), "client": ("test", 1),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }  # fmt: skip
    try:
        await app(scope, receive, send)
    except Exception:  # a fault is answered, and then raised for the server's log
        if not sent:
            raise
    start, *parts = sent
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], found, b"".join(part.get("body", b"") for part in parts))
