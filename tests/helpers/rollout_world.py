"""What a rollout meets: signed artifacts of several versions, a ledger, a target in memory, and a server's admin side.

The server follows the admin interface of ``mlopt serve`` and verifies what it is told to load; it answers no inference.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from filled_artifact import filling

from mlopt.artifact import layout
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.artifact.verify import verify
from mlopt.core.errors import MloptError, UserError
from mlopt.rollout.conduct import LedgerBook
from mlopt.rollout.observed import Observed
from mlopt.rollout.traffic import HeldVersion, Serving, TrafficSplit

A, B, C = "a" * 64, "b" * 64, "c" * 64
TOKEN = "a-token-for-tests"


def own_signer() -> KeySigner:
    """Return the user's own signer; the key is made on first use."""
    return KeySigner(keys.user_key().private)


def stranger() -> KeySigner:
    return KeySigner(ec.generate_private_key(ec.SECP256R1()))


def artifact(folder: Path, version: int, signer: KeySigner | None = None) -> Path:
    """Make a signed artifact of this version; each version has other weights, and so another digest."""
    directory = folder / f"v{version}" / "digits"
    for each in range(1, version + 1):
        layout.write(directory, filling(weights=b"weights %d" % each))
    sign(directory, signer or own_signer())
    return directory


def root_of(directory: Path) -> str:
    return verify(directory).root


def a_book(folder: Path) -> LedgerBook:
    signer = own_signer()
    return LedgerBook(folder / "rollout.jsonl", KeyTrust(signer.private.public_key()), signer)


@dataclass
class MemoryTarget:
    """A target that does what it is told, or fails where it is told to."""

    versions: dict[str, HeldVersion] = field(default_factory=dict)
    name: str = "embedded http://127.0.0.1:1"
    model: str = "digits"
    fails: Callable[[str], None] = lambda _: None
    """Called with what is about to be done: ``load``, ``shift``, ``serving``; it may raise."""
    calls: list[str] = field(default_factory=list)
    readings: Iterator[Mapping[str, Observed]] = field(default_factory=lambda: iter(()))

    @classmethod
    def holding(cls, **weights: int) -> MemoryTarget:
        """Return one whose versions are named by a letter: ``holding(a=100)``."""
        digests = {name * 64: weight for name, weight in weights.items()}
        return cls({digest: HeldVersion(digest, "ready", weight, 0, 1) for digest, weight in digests.items()})

    def _do(self, what: str) -> None:
        self.calls.append(what)
        self.fails(what)

    def serving(self) -> Serving:
        self._do("serving")
        return Serving(tuple(self.versions.values()))

    def load(self, artifact: str | None, digest: str, *, older: bool = False) -> None:
        self._do("load older" if older else "load")
        self.versions[digest] = HeldVersion(digest, "ready", 0)

    def shift(self, traffic: TrafficSplit) -> None:
        self._do("shift")
        assert sum(traffic.weights.values()) == 100
        assert set(traffic.weights) <= set(self.versions)
        for digest, each in self.versions.items():
            self.versions[digest] = replace(
                each, weight=traffic.weights.get(digest, 0), shadow=traffic.shadow.get(digest, 0)
            )

    def unload(self, digest: str) -> None:
        self._do("unload")
        assert self.versions[digest].weight == 0
        del self.versions[digest]

    def address(self, digest: str) -> str:
        return f"http://127.0.0.1:1/v2/models/{digest[:1]}"

    def observed(self) -> Mapping[str, Observed]:
        return next(self.readings)

    @property
    def weights(self) -> dict[str, int]:
        return {digest[:1]: each.weight for digest, each in self.versions.items() if each.weight}


def failing(what: str, *, times: int = 1) -> Callable[[str], None]:
    """Return what fails the first so many times that something is done."""
    left = [times]

    def fail(doing: str) -> None:
        if doing == what and left[0]:
            left[0] -= 1
            raise UserError(f"the {what} failed")

    return fail


class AdminServer:
    """The admin side and the metrics of an embedded server, for one model."""

    def __init__(self, model: str, versions: Mapping[str, HeldVersion]) -> None:
        self.model, self.versions = model, dict(versions)
        self.metrics = ""
        self.url = ""
        self.refuses: dict[str, int] = {}
        """What it does not do, and with which status: ``{"traffic": 500}``."""

    def answer(self, method: str, path: str, token: str | None, body: bytes) -> tuple[int, Any]:
        if path == "/metrics":
            return 200, self.metrics
        if token != f"Bearer {TOKEN}":
            return 401, {"error": "no token"}
        if (method, path) == ("GET", "/admin/models"):
            return 200, {"models": {self.model: {"versions": [self._told(each) for each in self.versions.values()]}}}
        before, _, verb = path.rpartition("/")
        if before != f"/admin/models/{self.model}":
            return 404, {"error": "no such model"}
        if verb in self.refuses:
            return self.refuses[verb], {"error": f"{verb} is out of order"}
        told = json.loads(body)
        known = {("POST", "load"): self._load, ("PUT", "traffic"): self._shift, ("POST", "unload"): self._unload}
        return known[method, verb](told)

    @staticmethod
    def _told(each: HeldVersion) -> dict[str, Any]:
        return {
            "digest": each.digest, "version": each.version, "state": each.state, "weight": each.weight,
            "shadow": each.shadow, "error": None,
        }  # fmt: skip

    def _load(self, told: dict[str, Any]) -> tuple[int, Any]:
        try:
            found = verify(Path(told["artifact"]))
        except MloptError as error:
            return 409, {"error": error.brief}
        newest = max((each.version or 0 for each in self.versions.values() if each.weight), default=0)
        if not told.get("allow_older") and found.manifest.version < newest:
            return 409, {"error": "it is older than what serves"}
        if told.get("digest") not in {None, found.root}:
            return 409, {"error": "another digest"}
        self.versions.setdefault(found.root, HeldVersion(found.root, "ready", 0, 0, found.manifest.version))
        return 200, {"digest": found.root}

    def _shift(self, told: dict[str, Any]) -> tuple[int, Any]:
        weights, shadow = told["weights"], told.get("shadow", {})
        if sum(weights.values()) != 100 or not {*weights, *shadow} <= set(self.versions):
            return 409, {"error": "these are no shares"}
        for digest, each in self.versions.items():
            self.versions[digest] = replace(each, weight=weights.get(digest, 0), shadow=shadow.get(digest, 0))
        return 200, {}

    def _unload(self, told: dict[str, Any]) -> tuple[int, Any]:
        if self.versions[told["digest"]].weight:
            return 409, {"error": "it has traffic"}
        del self.versions[told["digest"]]
        return 200, {}


Answer = Callable[[str, str, str | None, bytes], tuple[int, Any]]


@contextmanager
def listening(answer: Callable[..., tuple[Any, ...]]) -> Iterator[str]:
    """Answer HTTP on a free port of this machine, and give its address.

    ``answer(method, path, token, body)`` returns a status and bytes, text or what becomes JSON; headers may follow.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said, *rest = answer(self.command, self.path, self.headers.get("Authorization"), body)
            data = (
                said
                if isinstance(said, bytes)
                else said.encode()
                if isinstance(said, str)
                else json.dumps(said).encode()
            )
            self.send_response(status)
            for name, value in (rest[0] if rest else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_HEAD = _any

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving(model: str, versions: Mapping[str, HeldVersion]) -> Iterator[AdminServer]:
    server = AdminServer(model, versions)
    with listening(server.answer) as url:
        server.url = url
        yield server


def metrics_text(model: str, counts: Mapping[str, Observed]) -> str:
    """Return what an embedded server with these counters says at /metrics."""
    lines = []
    for digest, each in counts.items():
        who = f'model="{model}",digest="{digest}"'
        lines += [
            f'mlopt_requests_total{{{who},code="200"}} {each.requests - each.errors}',
            f'mlopt_requests_total{{{who},code="500"}} {each.errors}',
        ]
        total = 0
        for edge, count in zip([*each.edges, float("inf")], each.counts, strict=True) if each.counts else ():
            total += count
            lines.append(
                f'mlopt_request_seconds_bucket{{{who},le="{"+Inf" if edge == float("inf") else edge}"}} {total}'
            )
        lines += [
            f'mlopt_shadow_answers_total{{{who},result="{result}"}} {getattr(each, result)}'
            for result in ("same", "different", "failed")
        ]
    return "\n".join(lines) + "\n"
