"""The verb ``rollout envoy-config``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlopt.cli.app import run


def test_it_writes_a_bootstrap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "envoy.json"
    words = ["--stable", "127.0.0.1:9001", "--stable", "[::1]:9002", "--canary", "127.0.0.1:9003", "-o", str(file)]
    assert run(["rollout", "envoy-config", *words, "--retries", "3", "--max-pending", "7"]) == 0
    value = json.loads(file.read_text())
    stable, canary = value["static_resources"]["clusters"]
    hosts = [
        each["endpoint"]["address"]["socket_address"]
        for each in stable["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ]
    assert hosts == [{"address": "127.0.0.1", "port_value": 9001}, {"address": "::1", "port_value": 9002}]
    assert canary["circuit_breakers"]["thresholds"][0]["max_pending_requests"] == 7
    assert "envoy -c" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["9001", "host:", "host:0", "host:99999", ":80"])
def test_what_is_no_place_is_refused(place: str, tmp_path: Path) -> None:
    words = ["--stable", place, "--canary", "127.0.0.1:9003", "-o", str(tmp_path / "envoy.json")]
    assert run(["rollout", "envoy-config", *words]) == 2
    assert not (tmp_path / "envoy.json").exists()
