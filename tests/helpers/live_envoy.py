"""A real Envoy between toy backends, all on free ports of this machine, and a bounded load on it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mlopt.core.errors import UserError
from mlopt.rollout.calls import accepted, call
from mlopt.rollout.envoy import EnvoyTarget
from mlopt.rollout.envoy_config import EnvoySettings, bootstrap

ROOT = Path(__file__).parents[2]
BACKEND = Path(__file__).with_name("toy_backend.py")
ENVOY = next(
    (str(each) for each in (ROOT / ".bench" / "envoy" / "bin" / "envoy",) if each.exists()), None
) or shutil.which("envoy")
needed = pytest.mark.skipif(ENVOY is None, reason="Envoy is not installed (make .bench/envoy/.installed)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Live:
    """Processes of this test, by name, and where they listen."""

    target: EnvoyTarget
    url: str
    backends: dict[str, list[tuple[int, subprocess.Popen[bytes]]]]

    def mode(self, cluster: str, mode: str) -> None:
        for port, _ in self.backends[cluster]:
            accepted(call("POST", f"http://127.0.0.1:{port}/mode", body=mode.encode()), 200)

    def kill(self, cluster: str, number: int) -> None:
        self.backends[cluster][number][1].send_signal(signal.SIGKILL)


@contextmanager
def live(folder: Path, digests: dict[str, str], counts: dict[str, int], **settings: Any) -> Iterator[Live]:
    """Give an Envoy before so many backends of each cluster, once all of them answer through it."""
    with ExitStack() as stack:
        backends: dict[str, list[tuple[int, subprocess.Popen[bytes]]]] = {}
        for cluster, count in counts.items():
            for _ in range(count):
                port = free_port()
                command = [sys.executable, str(BACKEND), str(port), digests[cluster]]
                backends.setdefault(cluster, []).append((port, stack.enter_context(running(command, folder))))
        hosts = {cluster: tuple(("127.0.0.1", port) for port, _ in each) for cluster, each in backends.items()}
        listen, admin = free_port(), free_port()
        found = EnvoySettings(hosts, ("127.0.0.1", listen), ("127.0.0.1", admin), health_every_s=0.25)
        file = folder / "envoy.json"
        file.write_text(bootstrap(replace(found, **settings)))
        for each in backends.values():
            for port, _ in each:
                wait(lambda port=port: call("GET", f"http://127.0.0.1:{port}/v2/health/ready").status == 200)
        command = [str(ENVOY), "-c", str(file), "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
        stack.enter_context(running(command, folder))
        address = f"http://127.0.0.1:{admin}"
        wait(lambda: _all_healthy(address, sum(counts.values())))
        yield Live(EnvoyTarget(address, "digits"), f"http://127.0.0.1:{listen}", backends)


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{Path(command[0]).name}-{os.urandom(4).hex()}.log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(10)


def _all_healthy(admin: str, count: int) -> bool:
    text = call("GET", f"{admin}/clusters").body.decode()
    return text.count("::health_flags::healthy") == count


def wait(ready: Any, limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            if ready():
                return
        except UserError:
            pass
        time.sleep(0.1)
    pytest.fail("what the test started does not answer")


@dataclass
class Answers:
    """What came back."""

    statuses: list[int] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(status != 200 for status in self.statuses)

    def quantile(self, share: float) -> float:
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))]


async def load(
    url: str,
    count: int,
    per_s: float,
    *,
    most: int = 200,
    body: bytes = b"x" * 1000,
    until: threading.Event | None = None,
) -> Answers:
    """Send so many requests at even times, whatever comes back, or until then; times are from when each was due."""
    answers, gate = Answers(), asyncio.Semaphore(most)

    async def one(session: aiohttp.ClientSession, due: float) -> None:
        async with gate:
            try:
                async with session.post(f"{url}/v2/models/digits/infer", data=body) as reply:
                    await reply.read()
                    answers.statuses.append(reply.status)
                    answers.digests.append(reply.headers.get("mlopt-digest", ""))
            except (aiohttp.ClientError, TimeoutError):
                answers.statuses.append(0)
            answers.seconds.append(time.perf_counter() - due)

    connector = aiohttp.TCPConnector(limit=most)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(20)) as session:
        begun = time.perf_counter()
        tasks = []
        for number in range(count):
            if until is not None and until.is_set():
                break
            due = begun + number / per_s
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            tasks.append(asyncio.create_task(one(session, due)))
        await asyncio.gather(*tasks)
    return answers


async def meanwhile(
    url: str, seconds: float, per_s: float, work: Callable[[], Any], *, whole: bool = True, body: bytes = b"x" * 1000
) -> Any:
    """Send requests for so long while something is done in a thread, and return both results.

    Not ``whole``: until that is done, and no longer than so long.
    """
    over = threading.Event()
    loading = asyncio.create_task(load(url, int(seconds * per_s), per_s, until=None if whole else over, body=body))
    try:
        done = await asyncio.to_thread(work)
    finally:
        over.set()
    return await loading, done


def share_of(digest: str, digests: Sequence[str]) -> tuple[int, int]:
    return sum(each == digest for each in digests), len(digests)
