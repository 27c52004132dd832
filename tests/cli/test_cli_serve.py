"""``mlopt serve``: what it makes of its options, what it says at the start and the end, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from verb_runs import running

import mlopt.serve.extra as extra
import mlopt.serve.run as runs
from mlopt.cli.serve import serve
from mlopt.core.errors import ExitCode, MissingPackage, UserError
from mlopt.serve.derived import AskedLimits
from mlopt.serve.request import ServeRequest

run = running(serve)
MODEL = {
    "model": "digits", "version": 3, "digest": "d" * 64, "runtime": "onnxruntime", "weight": 90.0, "shadow": 0.0,
    "why": ["max batch  16 rows: measured"],
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ServeRequest]:
    """Every request that is made of options; ``unanswered`` of the second is 2."""
    found: list[ServeRequest] = []

    def instead(request: ServeRequest, started: Any) -> runs.ServerEnded:
        found.append(request)
        started(runs.ServerStarted("http://127.0.0.1:8000", (MODEL,), admin=request.token is not None))
        return runs.ServerEnded(unanswered=0 if len(found) == 1 else 2)

    monkeypatch.setattr(runs, "serve", instead)
    monkeypatch.delenv("MLOPT_ADMIN_TOKEN", raising=False)
    return found


def test_options_become_a_request(asked: list[ServeRequest], tmp_path: Path) -> None:
    (tmp_path / "a=b").mkdir()
    (tmp_path / "token").write_text("token-of-the-tests-only")
    done = run(
        "serve", "digits=one", "digits=two", tmp_path / "a=b", "plain", "--port", 0, "--max-batch", 4, "--max-delay-ms",
        1.5, "--queue", 9, "--deadline-ms", 100, "--weights", "digits=90,10", "--shadow", "digits=0,5", "--fallback", 3,
        "--cache-mb", 1, "--max-body-mb", 2, "--repository", "r", "--admin-token-file", tmp_path / "token",
    )  # fmt: skip
    assert done.exit_code == ExitCode.OK
    (request,) = asked
    assert request.artifacts == (
        ("digits", Path("one")), ("digits", Path("two")), (None, tmp_path / "a=b"), (None, Path("plain")),
    )  # fmt: skip
    assert request.limits == AskedLimits(4, 1.5, 9, 100.0)
    assert (request.weights, request.shadow) == ({"digits": (90.0, 10.0)}, {"digits": (0.0, 5.0)})
    assert (request.cache_bytes, request.max_body, request.fallback_after) == (1 << 20, 2 << 20, 3)
    assert (request.token, request.repositories) == ("token-of-the-tests-only", (Path("r"),))
    assert (request.host, request.port) == ("127.0.0.1", 0)


def test_what_is_served_is_said_and_as_json_on_standard_output(asked: list[ServeRequest]) -> None:
    plain = run("serve", "one")
    assert "digits  version 3 in onnxruntime, 90 % of the requests" in plain.stdout
    assert "max batch  16 rows: measured" in plain.stdout
    assert "listening on http://127.0.0.1:8000\n" in plain.stdout
    assert "every accepted request was answered" in plain.stderr
    asked.clear()
    document = json.loads(run("serve", "one", "--json").stdout)
    assert document == {"url": "http://127.0.0.1:8000", "admin": False, "models": [MODEL]}


def test_requests_that_were_not_answered_are_exit_1(asked: list[ServeRequest]) -> None:
    run("serve", "one")
    done = run("serve", "one")
    assert done.exit_code == ExitCode.GATE_FAILED
    assert "2 accepted requests were not answered in time" in done.stderr


def test_what_is_no_list_of_percents_and_what_is_missing(
    asked: list[ServeRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="no list of percents"):
        run("serve", "one", "--weights", "digits=most")
    monkeypatch.setattr(extra, "version", lambda _name: None)
    with pytest.raises(MissingPackage):
        run("serve", "one")
