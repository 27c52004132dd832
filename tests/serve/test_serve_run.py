"""A real server on loopback: the protocol over HTTP, joined requests, full queues, and leaving with nothing lost."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import predicted
import pytest
import served_artifacts
from scraped import Scrape
from served_models import Server, gathered, serving

from mlopt.artifact.verify import verify
from mlopt.core.errors import ExitCode, UserError
from mlopt.protocol.messages import write_request
from mlopt.serve.request import ServeRequest
from mlopt.serve.run import serve

pytestmark = pytest.mark.process
TOKEN = "token-of-the-tests-only"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def figures(server: Server) -> Scrape:
    return Scrape(server.ask("GET", "/metrics")[1])


def test_the_protocol_over_http_and_requests_are_joined(tmp_path: Path) -> None:
    (artifact,) = served_artifacts.versions(tmp_path, 2.0)
    digest = verify(artifact).root
    with serving(artifact, "--max-delay-ms", 20) as server:
        assert server.told["models"][0]["digest"] == digest
        assert server.ask("GET", "/v2/health/ready")[0] == 200
        assert server.ask("GET", "/v2/models/words")[1]["inputs"] == [
            {"name": "ids", "datatype": "INT64", "shape": [-1, predicted.TOKENS]}
        ]
        rows = predicted.rows(200, poisoned=(17, 18, 150))["ids"]
        message = [write_request({"ids": rows[n : n + 1]}, binary=n % 2 == 0) for n in range(200)]

        def ask(number: int) -> tuple[int, Any, Any]:
            return server.ask("POST", "/v2/models/words/infer", message[number].body, **message[number].headers)

        statuses = [status for status, _, _ in gathered(ask, 200)]
        assert [n for n, status in enumerate(statuses) if status != 200] == [17, 18, 150]
        assert set(statuses) == {200, 500}
        for binary in (True, False):
            found = server.infer("words", {"ids": rows[:5]}, binary=binary)
            assert np.array_equal(found.outputs["embedding"], predicted.TABLE[rows[:5]] * 2)
            assert found.parameters == {"digest": digest, "version": "1"}
        told = figures(server)
        assert told("mlopt_requests_total", model="words", digest=digest, code="200") == 199
        assert told("mlopt_executions_total", model="words", digest=digest) < 200
        assert told("mlopt_rows_total", model="words", digest=digest) == 207
        assert server.end() == ExitCode.OK


def test_a_full_queue_is_503_with_when_to_come_again_and_a_late_request_504(tmp_path: Path) -> None:
    artifact = predicted.artifact(tmp_path / "slow", served_artifacts.slow)
    message = write_request({"x": np.ones((1, 2), np.float32)})
    with serving(artifact, "--max-batch", 1, "--queue", 2, "--deadline-ms", 5000) as server:

        def ask(_number: int) -> tuple[int, Any, Any]:
            return server.ask("POST", "/v2/models/slow/infer", message.body, **message.headers)

        replies = gathered(ask, 60, workers=30)
        assert {status for status, _, _ in replies} == {200, 503}
        assert {headers["retry-after"] for status, _, headers in replies if status == 503} == {"1"}
        late = server.ask("POST", "/v2/models/slow/infer", message.body, **message.headers, mlopt_timeout_ms="0.5")
        assert (late[0], list(late[1])) == (504, ["error"])
        assert server.ask("GET", "/v2/health/ready")[0] == 200


class Crowd:
    """Threads that ask over kept connections until the server has gone; each answer, or what came instead."""

    def __init__(self, port: int, body: bytes, headers: dict[str, str], most: int) -> None:
        self.found: list[int | str] = []
        self._port, self._body, self._headers, self._numbers = port, body, headers, itertools.count()
        self._most = most
        self._threads = [threading.Thread(target=self._ask) for _ in range(16)]
        for thread in self._threads:
            thread.start()

    def join(self) -> list[int | str]:
        for thread in self._threads:
            thread.join(60)
        return self.found

    def _ask(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        while next(self._numbers) < self._most:
            try:
                connection.connect() if connection.sock is None else None
            except ConnectionRefusedError:
                self.found.append("never sent")
                continue
            try:
                connection.request("POST", "/v2/models/slow/infer", self._body, self._headers)
                response = connection.getresponse()
                response.read()
                self.found.append(response.status)
            except OSError as error:
                self.found.append(f"lost: {type(error).__name__}")
                connection.close()
        connection.close()


def test_sigterm_under_load_loses_no_request(tmp_path: Path) -> None:
    artifact = predicted.artifact(tmp_path / "slow", served_artifacts.slow)
    message = write_request({"x": np.ones((1, 2), np.float32)})
    with serving(artifact) as server:
        crowd = Crowd(server.port, message.body, dict(message.headers), 500)
        while len(crowd.found) < 100:
            time.sleep(0.01)
        assert server.end() == ExitCode.OK
        found = crowd.join()
    assert [each for each in found if each not in (200, 503, "never sent")] == []
    assert len(found) == 500
    assert found.count(200) >= 100


def test_a_swap_under_load_loses_no_request_and_every_answer_is_one_version_s(tmp_path: Path) -> None:
    first, second = served_artifacts.versions(tmp_path / "repository", 2.0, 3.0)
    rows = predicted.rows(1)["ids"]
    expected = {verify(first).root: 2.0, verify(second).root: 3.0}
    message = write_request({"ids": rows})
    with serving(first, "--repository", tmp_path / "repository", token=TOKEN) as server:
        seen: list[tuple[str, float]] = []

        def ask(_number: int) -> None:
            found = server.infer("words", {"ids": rows})
            times = found.outputs["embedding"] / np.maximum(predicted.TABLE[rows], 1e-9)
            seen.append((found.parameters["digest"], float(times.max())))

        crowd = threading.Thread(target=lambda: gathered(ask, 300, workers=4))
        crowd.start()
        status, told, _ = server.ask("POST", "/admin/models/words/load", {"artifact": "2/words"}, **BEARER)
        assert (status, told["version"]) == (200, 2)
        weights = {"weights": dict.fromkeys(expected, 50)}
        assert server.ask("PUT", "/admin/models/words/traffic", weights, **BEARER)[0] == 200
        crowd.join(60)
        assert len(seen) == 300
        assert all(round(times, 3) == expected[digest] for digest, times in seen)
        assert server.ask("POST", "/v2/models/words/infer", message.body, **message.headers)[0] == 200
        assert server.ask("GET", "/admin/models")[0] == 401
        assert server.end() == ExitCode.OK


def test_an_artifact_that_is_not_what_was_signed_is_exit_4_and_nothing_listens(tmp_path: Path) -> None:
    (artifact,) = served_artifacts.versions(tmp_path, 2.0)
    (artifact / "model.onnx").write_bytes(b"hostile")
    done = subprocess.run(
        [sys.executable, "-m", "mlopt", "serve", str(artifact), "--port", "0"], capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == ExitCode.INTEGRITY
    assert "changed after it was signed" in done.stderr
    assert "listening" not in done.stdout


def test_a_request_that_takes_too_long_is_given_up_and_the_exit_code_says_so(tmp_path: Path) -> None:
    artifact = predicted.artifact(tmp_path / "slow", served_artifacts.slow)
    body = write_request({"x": np.ones((4000, 2), np.float32)})
    with serving(artifact, "--drain-timeout", 0.05, "--deadline-ms", 60000, "--queue", 9000) as server:
        asking = threading.Thread(target=lambda: _quietly(server, body.body, dict(body.headers)))
        asking.start()
        ends = time.monotonic() + 20
        while not figures(server)("mlopt_in_flight_requests") and time.monotonic() < ends:
            time.sleep(0.01)
        assert server.end() == ExitCode.GATE_FAILED
        asking.join(30)


def _quietly(server: Server, body: bytes, headers: dict[str, str]) -> None:
    try:
        server.ask("POST", "/v2/models/slow/infer", body, **headers)
    except OSError:
        return


def test_an_address_that_is_taken_is_an_error_before_anything_is_opened(tmp_path: Path) -> None:
    (artifact,) = served_artifacts.versions(tmp_path, 2.0)
    with serving(artifact) as server:
        request = ServeRequest(((None, tmp_path / "none"),), port=server.port)
        with pytest.raises(UserError, match="cannot have this address"):
            serve(request, lambda _started: None)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == ExitCode.OK
