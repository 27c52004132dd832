"""Ray Serve's application is imported, and refuses what was not signed; it is not started: it listens everywhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import deployed
import engine_homes
import pytest

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
    assert "['words'] Application" in good.stdout
    deployed.truncate(tmp_path / "out" / "models" / "words" / "1" / "model.onnx")
    bad = imported()
    assert bad.returncode == 4
    assert "it is not what was signed" in bad.stderr
