"""Open models made of a function, for servers in tests, and a real server in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
from virtual_time import Inline

from mlopt.core.errors import ModelError
from mlopt.formats.model import TensorSpec
from mlopt.protocol.messages import HEADER_LENGTH, InferAnswer, read_answer, write_request
from mlopt.serve.derived import LaneLimits
from mlopt.serve.joining import joining_of
from mlopt.serve.models import LoadedModel

Arrays = Mapping[str, np.ndarray]
POISON = 666.0
LIMITS = LaneLimits(max_batch=4, max_delay_s=0.0, queue_rows=16, deadline_s=2.0)
X = (TensorSpec("x", "float32", ("batch", 2)),)
Y = (TensorSpec("y", "float32", ("batch", 2)),)


class Doubling:
    """Answers ``times`` times ``x``, refuses a batch with poison in it, and notes the rows of each run."""

    def __init__(self, times: float = 2.0) -> None:
        self.times = times
        self.runs: list[int] = []

    def __call__(self, feeds: Arrays) -> dict[str, np.ndarray]:
        self.runs.append(len(feeds["x"]))
        if (feeds["x"] == POISON).any():
            raise ModelError("the model does not take poison")
        return {"y": feeds["x"] * np.float32(self.times)}


def loaded(
    run: Any = None, digest: str = "a" * 64, version: int = 1, thread: Executor | None = None, **changes: Any
) -> LoadedModel:
    """Return an open model that doubles, unless ``run`` does something else."""
    inputs, outputs = changes.pop("inputs", X), changes.pop("outputs", Y)
    joining = joining_of(inputs, outputs)
    parts: dict[str, Any] = {
        "name": "double", "runtime": "python", "limits": LIMITS, "slack": {}, "said": (), "close": lambda: None,
        "directory": Path(),
        "joining": None if isinstance(joining, str) else joining,
    }  # fmt: skip
    return LoadedModel(
        digest=digest, version=version, inputs=inputs, outputs=outputs, run=run or Doubling(),
        thread=thread or Inline(), **(parts | changes),
    )  # fmt: skip


def row(*values: float) -> dict[str, np.ndarray]:
    """Return a request of one row for each value, which it holds twice."""
    return {"x": np.array([[value, value] for value in values], np.float32)}


@dataclass
class Server:
    """A server that listens."""

    process: subprocess.Popen[str]
    port: int
    told: dict[str, Any]

    def ask(
        self, method: str, path: str, body: bytes | dict[str, Any] | None = None, **headers: str
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Return status, body (of JSON the value) and headers, their names in small letters."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            data = json.dumps(body).encode() if isinstance(body, dict) else body
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, data, named)
            response = connection.getresponse()
            content = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()
        is_json = found.get("content-type", "") == "application/json" and HEADER_LENGTH.lower() not in found
        return response.status, json.loads(content) if is_json else content, found

    def infer(self, model: str, inputs: Arrays, *, binary: bool = True) -> InferAnswer:
        """Return the answer to a request that must succeed."""
        message = write_request(inputs, binary=binary)
        status, _, _ = answer = self.ask("POST", f"/v2/models/{model}/infer", message.body, **message.headers)
        assert status == 200, answer
        body, headers = answer[1], answer[2]
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return read_answer(raw, headers.get(HEADER_LENGTH.lower()))

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def serving(*arguments: object, token: str | None = None, cwd: Path | None = None) -> Iterator[Server]:
    """Give a real server on a free port of loopback; it is gone afterwards, whatever happens."""
    command = [sys.executable, "-m", "mlopt", "serve", *map(str, arguments), "--port", "0", "--json"]
    environment = os.environ | ({"MLOPT_ADMIN_TOKEN": token} if token else {})
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=cwd
    )  # fmt: skip
    try:
        told = _document(process)
        yield Server(process, int(told["url"].rsplit(":", 1)[1]), told)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def _document(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    assert process.stderr is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            found: dict[str, Any] = json.loads(text)
            return found
    raise AssertionError(f"the server did not start: {process.stderr.read()}")


def gathered(ask: Callable[[int], Any], count: int, workers: int = 16) -> list[Any]:
    """Return what ``ask`` gives for 0 to ``count``, asked from several threads."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(ask, range(count)))
