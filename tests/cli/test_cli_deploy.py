"""``mlopt deploy``: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import deployed
import pytest
from verb_runs import running

from mlopt.cli.deploy import deploy
from mlopt.core.errors import ExitCode, IntegrityError, UserError

run = running(deploy)


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return deployed.artifact(tmp_path / "words").relative_to(tmp_path)


def test_it_says_what_was_written_and_how_it_is_started(artifact: Path) -> None:
    done = run("deploy", artifact, "--to", "fastapi", "-o", "out", "--slo", "p99=2s", "--rate", "900")
    assert done.exit_code == ExitCode.OK
    assert "model      words, version 1, digest " in done.stdout
    assert "timeout_ms 2000: the SLO: a later answer is of no use" in done.stdout
    assert "start it   cd out, then as README.md says: .venv/bin/python app.py" in done.stdout
    assert ".venv/bin/python app.py" in Path("out/README.md").read_text()


def test_json_is_all_that_standard_output_has(artifact: Path) -> None:
    done = run("deploy", artifact, f"more={artifact}", "--to", "triton", "-o", "out", "--json")
    told = json.loads(done.stdout)
    assert [each["name"] for each in told["models"]] == ["words", "more"]
    assert told["ensemble"] is None
    assert "ensemble   none: no output of words" in done.stderr
    assert told["models"][0]["settings"]["largest_batch"] == {
        "value": 4, "why": "no batch sweep in the report: the batch that was measured (4); a sweep would tell the best",
    }  # fmt: skip
    assert all(Path("out", name).is_file() for name in told["files"])


def test_the_largest_batch_can_be_stated(artifact: Path) -> None:
    done = run("deploy", artifact, "--to", "bentoml", "-o", "out", "--max-batch", "8", "--slo", "p99=1s")
    assert (
        "largest_batch 8: as given: --max-batch; taken to last 2 times as long as the 4 that were measured"
        in done.stdout
    )
    assert "max_batch_size=8" in Path("out/service.py").read_text()


def test_mistakes_are_told(artifact: Path) -> None:
    with pytest.raises(UserError, match="no such engine"):
        run("deploy", artifact, "--to", "nothing", "-o", "out")
    with pytest.raises(UserError, match="the SLO cannot be read"):
        run("deploy", artifact, "--to", "triton", "-o", "out", "--slo", "100")
    deployed.truncate(artifact / "model.onnx")
    with pytest.raises(IntegrityError):
        run("deploy", artifact, "--to", "triton", "-o", "out")
    assert not Path("out").exists()
