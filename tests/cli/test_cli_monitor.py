"""The verb ``monitor``: what is live against the artifact, exit codes, files, and rules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sketched
from one_answer import answering
from verb_runs import running

from mlopt.artifact.verify import verify
from mlopt.cli.monitor import monitor
from mlopt.core.errors import IntegrityError, OutputError, UserError
from mlopt.sketches import Sketches, read, write

run = running(monitor)
ROWS = 2000


@pytest.fixture
def reference() -> Sketches:
    return sketched.document(ROWS)


@pytest.fixture
def artifact(tmp_path: Path, reference: Sketches) -> Path:
    return sketched.artifact(tmp_path / "digits", reference)


def live(folder: Path, reference: Sketches, count: int = ROWS, shift: float = 0.0) -> Path:
    (folder / "live.json").write_bytes(write(sketched.document(count, 1, shift, like=reference)))
    return folder / "live.json"


@pytest.mark.parametrize(("count", "shift", "code"), [(ROWS, 0.0, 0), (ROWS, 0.5, 1), (20, 0.0, 3)])
def test_the_exit_code_is_the_verdict(
    artifact: Path, tmp_path: Path, reference: Sketches, count: int, shift: float, code: int
) -> None:
    found = run("monitor", artifact, "--live", live(tmp_path, reference, count, shift))
    assert found.exit_code == code
    assert f"verdict      {['pass', 'fail', '', 'inconclusive'][code]}" in found.stdout


def test_a_server_is_asked_with_the_token(
    artifact: Path, reference: Sketches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = verify(artifact).root
    document = sketched.document(ROWS, 1, 0.5, like=reference, digest=digest)
    (tmp_path / "token").write_text("secret\n")
    with answering(200, json.dumps({digest: json.loads(write(document))}).encode()) as server:
        found = run("monitor", artifact, "--live", server.url, "--admin-token-file", tmp_path / "token", "--json")
        monkeypatch.setenv("MLOPT_ADMIN_TOKEN", "of the environment")
        run("monitor", artifact, "--live", server.url)
    told = json.loads(found.stdout)
    assert (found.exit_code, told["verdict"], told["digest"], told["name"]) == (1, "fail", digest, "digits")
    assert [token for _, token in server.asked] == ["Bearer secret", "Bearer of the environment"]
    assert server.asked[0][0] == "/admin/models/digits/sketches"


def test_a_log_is_sketched_here(artifact: Path, tmp_path: Path) -> None:
    inputs, outputs = sketched.rows(ROWS, 1, 0.5)
    np.savez(tmp_path / "log.npz", **inputs, **outputs)
    found = run("monitor", artifact, "--log", tmp_path / "log.npz", "--sketches", tmp_path / "now.json")
    assert found.exit_code == 1
    assert "input x, 1: shift" in found.stdout
    held = read((tmp_path / "now.json").read_bytes(), "now")
    assert (held.rows, held.digest) == (ROWS, verify(artifact).root)
    again = run("monitor", artifact, "--log", tmp_path / "log.npz", "--reference", tmp_path / "now.json")
    assert again.exit_code == 0, "against themselves, nothing changed"


def test_pages_and_metrics_are_written(artifact: Path, tmp_path: Path, reference: Sketches) -> None:
    wanted = {"--html": "page.html", "--markdown": "page.md", "--metrics": "mlopt.prom"}
    options = [part for option, name in wanted.items() for part in (option, tmp_path / name)]
    assert run("monitor", artifact, "--live", live(tmp_path, reference), *options).exit_code == 0
    texts = [(tmp_path / name).read_text() for name in wanted.values()]
    assert "PASS" in texts[0]
    assert texts[1].startswith("# digits: PASS")
    assert 'mlopt_monitor_verdict{model="digits"' in texts[2]


def test_what_is_live_is_said_once(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="say what is live"):
        run("monitor", artifact)
    with pytest.raises(UserError, match="say what is live"):
        run("monitor", artifact, "--live", "a", "--log", tmp_path / "b.npz")


def test_an_artifact_that_was_tampered_with_is_not_asked(artifact: Path, tmp_path: Path, reference: Sketches) -> None:
    (artifact / "sketches.json").write_bytes(write(sketched.document(ROWS, 5)))
    with pytest.raises(IntegrityError):
        run("monitor", artifact, "--live", live(tmp_path, reference))


def test_an_artifact_without_sketches_takes_a_reference(tmp_path: Path, reference: Sketches) -> None:
    artifact = sketched.artifact(tmp_path / "old", None)
    now = live(tmp_path, reference)
    with pytest.raises(UserError, match="holds no sketches"):
        run("monitor", artifact, "--live", now)
    (tmp_path / "good.json").write_bytes(write(reference))
    assert run("monitor", artifact, "--live", now, "--reference", tmp_path / "good.json").exit_code == 0


def test_rules_are_written_and_only_ours_are_overwritten(artifact: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    for _ in range(2):
        assert run("monitor", artifact, "--rules", folder, "--slo", "p99=100ms", "--target", "h:1").exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["alertmanager.yml", "mlopt.rules.yml", "prometheus.yml"]
    assert "p99=100ms, as given" in (folder / "mlopt.rules.yml").read_text()
    assert "h:1" in (folder / "prometheus.yml").read_text()
    (folder / "prometheus.yml").write_text("mine")
    with pytest.raises(OutputError, match="did not write this file"):
        run("monitor", artifact, "--rules", folder)
    assert (folder / "prometheus.yml").read_text() == "mine"
