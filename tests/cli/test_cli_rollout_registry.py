"""The verbs ``rollout push``, ``pull`` and ``tag``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy_registry
from rollout_world import artifact, root_of
from toy_registry import ToyRegistry

from mlopt.cli.app import run


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToyRegistry]:
    monkeypatch.chdir(tmp_path)
    with toy_registry.running() as registry:
        yield registry


def test_pushed_tagged_pulled_and_back(server: ToyRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, digests = f"{server.host}/models/digits", []
    for version in (1, 2):
        assert run(["rollout", "push", str(artifact(tmp_path, version)), f"{place}:v{version}", "--json"]) == 0
        digests.append(json.loads(capsys.readouterr().out)["digest"])
        words = ["rollout", "tag", f"{place}@{digests[-1]}", "live", "--ledger", "rollout.jsonl", "--why", "new"]
        assert run(words) == 0
        assert digests[-1] in capsys.readouterr().out
    assert server.tags["live"] == digests[1]
    assert run(["rollout", "rollback", "--via", "registry", "--at", f"{place}:live"]) == 0
    assert server.tags["live"] == digests[0]
    assert run(["rollout", "pull", f"{place}:live", "-o", "pulled"]) == 0
    assert root_of(Path("pulled")) == root_of(tmp_path / "v1" / "digits")
    assert run(["rollout", "tag", f"{place}:v2", "live", "--json"]) == 0


def test_what_was_damaged_exits_with_4_and_is_not_written(server: ToyRegistry, tmp_path: Path) -> None:
    place = f"{server.host}/models/digits:v1"
    assert run(["rollout", "push", str(artifact(tmp_path, 1)), place]) == 0
    server.lies = dict.fromkeys(server.blobs, b"damaged")
    assert run(["rollout", "pull", place, "-o", "pulled"]) == 4
    assert not Path("pulled").exists()


def test_an_older_one_than_asked_for_exits_with_4(server: ToyRegistry, tmp_path: Path) -> None:
    place = f"{server.host}/models/digits:v1"
    assert run(["rollout", "push", str(artifact(tmp_path, 1)), place]) == 0
    assert run(["rollout", "pull", place, "-o", "pulled", "--min-version", "2"]) == 4
    assert not Path("pulled").exists()


def test_what_does_not_verify_is_not_pushed(server: ToyRegistry, tmp_path: Path) -> None:
    directory = artifact(tmp_path, 1)
    (directory / "model.onnx").write_bytes(b"another")
    assert run(["rollout", "push", str(directory), f"{server.host}/models/digits"]) == 4
    assert server.asked == []
