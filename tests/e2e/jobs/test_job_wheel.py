"""Job 1: from a wheel in an environment that has nothing else, to a first model of one's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from small_graphs import write_classifier
from user_jobs import Job

import mlopt

ROOT = Path(mlopt.__file__).parents[1]


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="mlopt is not run from its checkout")
def test_a_wheel_in_a_bare_environment_optimizes_a_model(job: Job) -> None:
    """Only the cpu extra is installed, so nothing of PyTorch may be asked for."""
    model, data = write_classifier(job.folder)
    job.run("-m", "venv", "bare")
    job.run("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", ROOT)
    (wheel,) = (job.folder / "dist").glob("*.whl")
    bare = str(job.folder / "bare" / "bin" / "python")
    job.variables["PYTHONPATH"] = ""
    done = job.run(
        "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", f"{wheel}[cpu]", python=bare, code=None
    )
    if done.returncode:
        pytest.skip(f"no index has what mlopt needs: {done.stderr.strip().splitlines()[-1]}")
    job.python = bare
    assert "torch" not in job.run("-m", "pip", "list").stdout
    said = job.mlopt("optimize", model, "--data", data, "-o", "out", code=None)
    assert said.returncode in {0, 1, 3}, said.stderr
    report = json.loads((job.folder / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["verdict"] in {"pass", "inconclusive", "fail"}
    hint = job.mlopt("optimize", "missing.pt2", code=2).stderr
    assert "missing.pt2" in hint
    told = job.mlopt("doctor", code=None).stdout
    assert f"{wheel.name.split('-')[0]}" in told.replace("-", "_")
    assert sys.executable not in told
