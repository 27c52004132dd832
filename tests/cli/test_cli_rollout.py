"""The group ``rollout``: the way of a candidate on the command line, from its start to where it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rollout_world import TOKEN, A, AdminServer, artifact, root_of, serving, stranger

from mlopt.cli.app import run
from mlopt.cli.program import program
from mlopt.rollout.credential import ADMIN_TOKEN
from mlopt.rollout.traffic import HeldVersion

VERBS = {
    "start", "analyze", "promote", "hold", "rollback", "status", "log", "summary", "push", "pull", "tag",
    "envoy-config",
}  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server() -> Iterator[AdminServer]:
    with serving("digits", {A: HeldVersion(A, "ready", 100, 0, 2)}) as found:
        yield found


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    return artifact(tmp_path, 3)


def rolling(server: AdminServer, verb: str, *words: object) -> int:
    """Run a verb with the server's address and token; the variable is gone after each."""
    os.environ[ADMIN_TOKEN] = TOKEN
    try:
        return run(["rollout", verb, *map(str, words), "--at", server.url])
    finally:
        os.environ.pop(ADMIN_TOKEN, None)


def weights(server: AdminServer) -> dict[str, int]:
    return {digest: each.weight for digest, each in server.versions.items() if each.weight}


def test_it_has_its_verbs() -> None:
    assert set(program().commands["rollout"].commands) == VERBS


def test_the_whole_way(
    server: AdminServer, candidate: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    digest = root_of(candidate)
    assert rolling(server, "start", candidate, "--share", 20, "--why", "faster") == 0
    assert weights(server) == {A: 80, digest: 20}
    assert rolling(server, "promote") == 0
    assert weights(server) == {digest: 100}
    assert rolling(server, "rollback", "--why", "wrong") == 0
    assert weights(server) == {A: 100}
    assert rolling(server, "rollback") == 0
    assert "it was so already" in capsys.readouterr().out
    assert run(["rollout", "log", "rollout.jsonl", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)["lines"]
    assert [each["step"] for each in lines if each["phase"] == "done"] == ["start", "promote", "rollback"]


@pytest.mark.parametrize("what", ["truncated", "another signer", "older", "another digest"])
def test_what_is_not_as_it_should_be_exits_with_4_and_the_old_one_serves(
    what: str, server: AdminServer, candidate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[object] = [candidate]
    if what == "truncated":
        os.truncate(candidate / "model.onnx", 3)
    elif what == "another signer":
        words = [artifact(tmp_path / "theirs", 3, stranger())]
    elif what == "older":
        words = [artifact(tmp_path, 1)]
    else:
        words += ["--digest", "f" * 64]
    assert rolling(server, "start", *words) == 4
    assert weights(server) == {A: 100}
    assert set(server.versions) == {A}
    assert capsys.readouterr().err.startswith("error:")


def test_what_the_server_finds_wrong_exits_with_4(
    server: AdminServer, candidate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server has another directory than the one that was verified here."""
    other = artifact(tmp_path / "other", 2)
    assert rolling(server, "start", candidate, "--server-path", other) == 4
    assert "what served before serves" in capsys.readouterr().err.replace("\n", " ")
    assert weights(server) == {A: 100}


def test_a_server_that_fails_half_way_is_put_back(
    server: AdminServer, candidate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.refuses = {"traffic": 500}
    assert rolling(server, "start", candidate) == 2
    assert "what served before serves" in capsys.readouterr().err.replace("\n", " ")
    assert weights(server) == {A: 100}


def test_status_and_hold(server: AdminServer, candidate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rolling(server, "start", candidate, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["digest"], told["changed"]) == (root_of(candidate), True)
    assert rolling(server, "hold", "--why", "wait") == 0
    capsys.readouterr()
    assert rolling(server, "status", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["held"], found["rollback_to"], found["unfinished"]) == (True, A, None)
    assert rolling(server, "status") == 0
    assert A in capsys.readouterr().out


def test_another_ledger_key_is_not_believed(server: AdminServer, candidate: Path, tmp_path: Path) -> None:
    assert rolling(server, "start", candidate) == 0
    assert run(["keygen", "-o", "theirs.key"]) == 0
    assert run(["rollout", "log", "rollout.jsonl", "--ledger-key", "theirs.pub"]) == 4
    assert rolling(server, "promote", "--sign-key", "theirs.key", "--model", "digits") == 4
    assert weights(server)[A] == 90
