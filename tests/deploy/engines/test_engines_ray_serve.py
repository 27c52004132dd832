"""Ray Serve refuses what was not signed, and is served in a namespace of its own: it listens everywhere."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import deployed
import engine_homes
import numpy as np
import predicted
import pytest

from mlopt.artifact.verify import verify

IMPORT = "import app; print(sorted(app.SETTINGS), app.application())"


@pytest.mark.slow
def test_it_is_an_application_unless_a_model_is_not_what_was_signed(tmp_path: Path) -> None:
    python = engine_homes.python("ray-serve")
    deployed.written(tmp_path / "out", "ray-serve", deployed.artifact(tmp_path / "words"))
    environment = deployed.environment(RAY_USAGE_STATS_ENABLED="0")

    def imported() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-c", IMPORT], cwd=tmp_path / "out", capture_output=True, text=True, timeout=120, check=False,
            env=environment,
        )  # fmt: skip

    good = imported()
    assert good.returncode == 0, good.stderr[-3000:]
    assert "['words'] <ray.serve.deployment.Application" in good.stdout
    deployed.truncate(tmp_path / "out" / "models" / "words" / "1" / "model.onnx")
    bad = imported()
    assert bad.returncode == 4
    assert "it is not what was signed" in bad.stderr


@pytest.mark.slow
def test_it_serves_in_a_namespace_of_its_own(tmp_path: Path) -> None:
    python = engine_homes.python("ray-serve")
    words = deployed.artifact(tmp_path / "words")
    deployed.written(tmp_path / "out", "ray-serve", words, slo_ms=5000)
    feeds = predicted.rows(1)
    asks = [
        {"path": "/v2/models/words/infer", "body": deployed.infer_body(feeds, id="7"), "times": 24},
        {"path": "/v2/models/words/infer", "body": {"inputs": []}, "times": 1},
        {"path": "/v2/models/nobody/ready", "times": 1},
        {"path": "/v2/models/words", "times": 1},
        {"path": "/v2/models/words/infer", "body": deployed.infer_body(predicted.rows(1, poisoned=(0,))), "times": 1},
    ]
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # a socket's path takes 107 characters
        found = engine_homes.in_namespace(
            [python, "app.py"], tmp_path / "out", 8000, ["/v2/models/words/ready"], asks, seconds=200,
            RAY_USAGE_STATS_ENABLED="0", RAY_TMPDIR=folder,
        )  # fmt: skip
    good, wrong, nobody, metadata, poisoned = found["answers"]
    assert {code for code, _, _ in good} == {200}, good[0]
    assert np.array_equal(deployed.outputs_of(good[0][1])["embedding"], predicted.TABLE[feeds["ids"]])
    root = verify(words).root
    assert good[0][2]["mlopt-digest"] == root
    assert metadata[0][1]["parameters"] == {"digest": root, "version": "1"}
    assert (wrong[0][0], nobody[0][0], poisoned[0][0]) == (400, 404, 500)
    assert poisoned[0][1]["error"].startswith("the model could not be run: ")
