"""``mlopt predict``: exit codes, what it prints, and who must have signed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import predicted
import pytest
from verb_runs import running

import mlopt.predict.run as runs
from mlopt.artifact.signing import keys
from mlopt.cli.predict import predict
from mlopt.core.errors import ExitCode, IntegrityError, UserError

run = running(predict)


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed artifact in the working directory, predicted with in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "LocalCrew", predicted.InlineCrew)
    return predicted.artifact(tmp_path / "words").relative_to(tmp_path)


def test_all_rows_are_exit_0(artifact: Path) -> None:
    np.savez("rows.npz", **predicted.rows(10))
    done = run("predict", artifact, "--data", "rows.npz", "-o", "out")
    assert done.exit_code == ExitCode.OK
    assert "predicted  10 of 10 rows, " in done.stdout
    assert "failed" not in done.stdout
    again = run("predict", artifact, "--data", "rows.npz", "-o", "out").stdout
    assert "predicted  10 of 10 rows\n" in again
    assert "kept       3 shards that were done before" in again


def test_rows_that_fail_are_exit_1_and_named(artifact: Path) -> None:
    np.savez("rows.npz", **predicted.rows(10, poisoned=(3,), negative=(5,)))
    done = run("predict", artifact, "--data", "rows.npz", "-o", "out", "--json")
    assert done.exit_code == ExitCode.GATE_FAILED
    summary = json.loads(done.stdout)
    assert (summary["predicted"], summary["failed"], summary["not_finite"], summary["state"]) == (9, 1, 1, "complete")
    assert "failed     1 rows: " in done.stderr
    assert "row 3: ONNX Runtime could not run the model" in done.stderr
    assert "not finite 1 rows" in done.stderr


def test_too_many_errors_are_exit_1_with_the_next_command(artifact: Path) -> None:
    np.savez("rows.npz", **predicted.rows(10, poisoned=range(10)))
    done = run("predict", artifact, "--data", "rows.npz", "-o", "out", "--max-errors", 2, "--shard-rows", 5)
    assert done.exit_code == ExitCode.GATE_FAILED
    assert "stopped    more than 2 rows failed; the same command with a larger --max-errors goes on" in done.stdout


def test_a_cluster_is_joined_before_any_work_or_it_is_an_error(artifact: Path) -> None:
    np.savez("rows.npz", **predicted.rows(5))
    command = ("predict", artifact, "--data", "rows.npz", "-o", "out", "--ray")
    with pytest.raises(UserError, match="--workers and --ray contradict each other"):
        run(*command, "127.0.0.1:1", "--workers", 2)
    with pytest.raises(UserError, match="no cluster of Ray answers"):
        run(*command, "127.0.0.1:1")
    assert not Path("out").exists()


def test_another_signer_is_an_integrity_error(artifact: Path) -> None:
    np.savez("rows.npz", **predicted.rows(5))
    public = keys.public_path(keys.create_key(Path("other.key")))
    with pytest.raises(IntegrityError):
        run("predict", artifact, "--data", "rows.npz", "-o", "out", "--key", public)
    assert not Path("out").exists()
