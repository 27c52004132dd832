"""From a file to a monitored service: optimized, served, sketched, and compared with what it was judged on."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from served_models import Server, serving
from small_graphs import AT_ANY_SPEED, BRIEFLY, write_classifier

from mlopt.artifact.signing.trust import KeyTrust
from mlopt.artifact.verify import verify
from mlopt.cli.app import run
from mlopt.protocol.messages import write_request

pytestmark = [pytest.mark.process, pytest.mark.heavy]
TOKEN = "of-this-test-0123456789"
ROWS = 40


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("monitored")
    model, data = write_classifier(folder)
    np.savez(data, **samples(np.random.default_rng(0), 600))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLOPT_CACHE", str(folder / "cache"))
        patch.setenv("MLOPT_CONFIG", str(folder / "config"))
        brief = [word for override in (*BRIEFLY, AT_ANY_SPEED) for word in ("--set", override)]
        assert run(["optimize", str(model), "--data", str(data), "-o", "net", *brief]) == 0
        yield folder / "net"


@pytest.fixture
def server(artifact: Path) -> Iterator[Server]:
    with serving(artifact, "--sketch", "--key", key_of(artifact), token=TOKEN) as found:
        ask(found)
        yield found


def samples(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    return {"x": rng.standard_normal((rows, 16)).astype(np.float32)}


def key_of(artifact: Path) -> Path:
    """Return the public key of who made the artifact: each test is a new user."""
    return artifact.parent / "config/keys/mlopt.pub"


def ask(server: Server) -> None:
    """Ask for the answers to rows like those that the model was judged on."""
    for number in range(ROWS):
        message = write_request(samples(np.random.default_rng(number + 1), 1))
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}/v2/models/classifier/infer", message.body, dict(message.headers)
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200


def test_a_server_sketches_what_it_is_asked_and_monitor_reads_it(
    artifact: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPT_ADMIN_TOKEN", TOKEN)
    live = artifact.parent / "live.json"
    url = f"http://127.0.0.1:{server.port}"
    key = ["--key", str(key_of(artifact))]
    assert run(["monitor", str(artifact), *key, "--live", url, "--sketches", str(live), "--json"]) == 3
    found, seen = json.loads(capsys.readouterr().out), json.loads(live.read_text())
    assert found["digest"] == seen["digest"] == verify(artifact, KeyTrust.of(key_of(artifact))).root
    assert found["verdict"] == "inconclusive"  # so few rows say nothing
    assert 0 < seen["rows"] <= ROWS


def test_without_the_token_nobody_sees_the_sketches(
    artifact: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLOPT_ADMIN_TOKEN", raising=False)
    key = ["--key", str(key_of(artifact))]
    assert run(["monitor", str(artifact), *key, "--live", f"http://127.0.0.1:{server.port}"]) == 2
    assert "401" in capsys.readouterr().err
