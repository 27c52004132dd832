"""``mlopt loadtest``: exit codes, what it prints and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from load_example import record
from verb_runs import running

import mlopt.loadtest.run as runs
from mlopt.cli.loadtest import loadtest
from mlopt.core.errors import ExitCode, GateError, OutputError
from mlopt.loadtest.from_recipe import RecipeSamples
from mlopt.loadtest.request import LoadRequest

run = running(loadtest)
URL = "http://127.0.0.1:8000"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[LoadRequest]:
    """The requests that came to the run, which puts no load on, and comes to the verdict that ``verdict`` has."""
    found: list[LoadRequest] = []

    def put(request: LoadRequest, _: Any) -> Any:
        found.append(request)
        return record(verdict=VERDICT["is"])

    monkeypatch.setattr(runs, "run", put)
    monkeypatch.setitem(VERDICT, "is", "pass")
    return found


VERDICT: dict[str, str | None] = {}


def test_options_become_a_request(asked: list[LoadRequest]) -> None:
    run("loadtest", URL, "--rate", 200, "--slo", "p99=100ms,error_rate=0.1%", "--gate", "serving.rps_at_slo >= 50",
        "--ramp", "--seconds", "1m", "--constant", "--seed", 3, "--model", "m", "--timeout", 5,
        "--recipe", "x.yaml", "--allow-code")  # fmt: skip
    (request,) = asked
    assert [(gate.metric, gate.bound) for gate in request.gates] == [
        ("serving.p99_ms", 100.0), ("serving.error_rate", 0.001), ("serving.rps_at_slo", 50.0),
    ]  # fmt: skip
    assert (request.rate, request.seconds, request.ramp, request.constant) == (200, 60, True, True)
    assert request.recipe == RecipeSamples(Path("x.yaml"), allow_code=True)
    assert (request.seed, request.model, request.time_limit_s, request.target) == (3, "m", 5, URL)
    assert request.trusted == ()


@pytest.mark.parametrize(
    ("verdict", "code"),
    [("pass", ExitCode.OK), ("fail", ExitCode.GATE_FAILED), ("inconclusive", ExitCode.INCONCLUSIVE),
     (None, ExitCode.OK)],
)  # fmt: skip
def test_the_verdict_is_the_exit_code(asked: list[LoadRequest], verdict: str | None, code: ExitCode) -> None:
    VERDICT["is"] = verdict
    done = run("loadtest", URL, "--rate", 10)
    assert done.exit_code == code
    assert len(asked) == 1


def test_what_was_found_is_printed(asked: list[LoadRequest]) -> None:
    done = run("loadtest", URL, "--rate", 10)
    for part in ("1,998 of 2,000 requests", "of all requests", "http 503", "slower", "to confirm", "15 is met",
                 "verdict      pass", "note         a note"):  # fmt: skip
        assert part in done.stdout
    assert asked[0].gates == ()


def test_json_alone_is_on_standard_output_and_files_are_written(asked: list[LoadRequest], tmp_path: Path) -> None:
    done = run("loadtest", URL, "--rate", 10, "--json", "-o", tmp_path / "out")
    assert json.loads(done.stdout)["schema"] == "mlopt.loadtest/v1"
    assert "1,998 of 2,000 requests" in done.stderr
    assert json.loads((tmp_path / "out/loadtest.json").read_text()) == json.loads(done.stdout)
    assert (tmp_path / "out/loadtest.html").exists()
    assert len(asked) == 1


def test_a_limit_that_is_none_is_refused_before_any_load(asked: list[LoadRequest]) -> None:
    with pytest.raises(GateError, match="this is no time"):
        run("loadtest", URL, "--rate", 10, "--slo", "p99=100")
    assert asked == []


def test_a_folder_that_is_none_is_refused_before_any_load(asked: list[LoadRequest], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        run("loadtest", URL, "--rate", 10, "-o", tmp_path / "file")
    assert asked == []


def test_whom_to_trust_is_told_to_the_server_too(asked: list[LoadRequest], tmp_path: Path) -> None:
    from mlopt.artifact.signing import keys

    public = tmp_path / "key.pub"
    public.write_bytes(keys.public_path(keys.user_key().path).read_bytes())
    run("loadtest", "artifact", "--rate", 10, "--key", public)
    assert asked[0].trusted == ("--key", str(public))
    assert asked[0].trust is not None
