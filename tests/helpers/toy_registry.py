"""An OCI registry in memory, as far as pushing, pulling and tagging go; it can be made to lie."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rollout_world import listening


class ToyRegistry:
    """Blobs and manifests by digest, and tags; for one login, if it has one."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.login: str | None = None
        self.asked: list[tuple[str, str]] = []
        self.lies: dict[str, bytes] = {}
        """What is given in place of a blob or manifest."""
        self.host = ""

    def answer(self, method: str, path: str, token: str | None, body: bytes) -> tuple[Any, ...]:
        self.asked.append((method, path))
        if self.login is not None and token != f"Basic {self.login}":
            return 401, {"errors": []}
        place = urlsplit(path)
        found = re.fullmatch(r"/v2/[a-z/]+/(blobs|manifests)/(.*)", place.path)
        if found is None:
            return 404, ""
        if found[1] == "manifests":
            return self._manifest(method, found[2], body)
        return self._blob(method, found[2], parse_qs(place.query), body)

    def _manifest(self, method: str, wanted: str, body: bytes) -> tuple[Any, ...]:
        if method == "PUT":
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            self.manifests[digest] = body
            if not wanted.startswith("sha256:"):
                self.tags[wanted] = digest
            return 201, "", {"Docker-Content-Digest": digest}
        digest = self.tags.get(wanted, wanted)
        if digest not in self.manifests:
            return 404, {"errors": [{"code": "MANIFEST_UNKNOWN"}]}
        return 200, self.lies.get(digest, self.manifests[digest])

    def _blob(self, method: str, wanted: str, query: dict[str, list[str]], body: bytes) -> tuple[Any, ...]:
        if method == "POST":
            return 202, "", {"Location": "/v2/models/digits/blobs/uploads/one?state=abc"}
        if method == "PUT":
            (digest,) = query["digest"]
            assert query["state"] == ["abc"]
            if digest != f"sha256:{hashlib.sha256(body).hexdigest()}":
                return 400, {"errors": [{"code": "DIGEST_INVALID"}]}
            self.blobs[digest] = body
            return 201, ""
        if wanted not in self.blobs:
            return 404, ""
        return 200, self.lies.get(wanted, self.blobs[wanted])


@contextmanager
def running() -> Iterator[ToyRegistry]:
    registry = ToyRegistry()
    with listening(registry.answer) as url:
        registry.host = url.removeprefix("http://")
        yield registry
