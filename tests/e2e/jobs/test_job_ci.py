"""Job 7: a pull request that makes a model slower, in a job that uses the repository's own action."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from small_graphs import write_classifier
from user_jobs import Job

import mlopt

ROOT = Path(mlopt.__file__).parents[1]
ACTION = ROOT / ".ci" / "action"
GATES = """
gates:
  - {metric: speedup.median, min: 50}
  - {metric: fidelity.cosine, min: 0.5}
"""


def act(job: Job, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run what the action runs, with its inputs as GitHub would hand them over."""
    asked = {"PYTHON": job.python, "GITHUB_STEP_SUMMARY": "summary.md", "GITHUB_OUTPUT": "output", "ARTIFACT": "out"}
    return subprocess.run(
        [str(ACTION)], cwd=job.folder, env={**job.environment, **asked, **inputs}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.skipif(not ACTION.exists(), reason="mlopt is not run from its checkout")
def test_a_gate_that_fails_ends_the_job_and_says_where_people_look(job: Job) -> None:
    model, data = write_classifier(job.folder)
    (job.folder / "gates.yaml").write_text(GATES)
    done = act(
        job, RECIPE=str(model), DATA=str(data), ARGUMENTS="--no-sign --set measure.seconds=0.2", GATES="gates.yaml"
    )
    assert done.returncode == 1, done.stderr
    assert "::error" in done.stdout
    assert "speedup.median" in (job.folder / "summary.md").read_text()
    assert "verdict=fail" in (job.folder / "output").read_text().splitlines()
    job.mlopt("baseline", "save", "out", "--allow-ungated")
    (job.folder / "gates.yaml").write_text("gates:\n  - {metric: size.ratio, max: 1.5, vs: baseline}\n")
    (kept,) = (job.folder / "baselines").glob("*.json")
    again = act(job, GATES="gates.yaml", BASELINE=str(kept))
    assert again.returncode == 0, again.stdout + again.stderr
    assert (job.folder / "output").read_text().splitlines()[-1] == "verdict=pass"


@pytest.mark.skipif(not ACTION.exists(), reason="mlopt is not run from its checkout")
def test_what_cannot_be_run_ends_it_with_its_code_and_no_verdict(job: Job) -> None:
    done = act(job, RECIPE="missing.yaml")
    assert done.returncode == 2
    assert not (job.folder / "output").exists()
