"""A terminal is never silent for long: recorded, and held to it by timestamps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bench_models import dense

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "silence.py"
MOST = 3


def watched(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(SCRIPT), "--most", str(MOST), "--", *command]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.process
def test_silence_is_found_and_painting_the_same_again_is_no_change(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "for _ in range(12): sys.stdout.write('\\r\\x1b[2Kwaiting'); sys.stdout.flush(); time.sleep(0.3)\n"
    )
    done = watched(sys.executable, "-c", code, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "at: waiting" in done.stdout


@pytest.mark.process
def test_a_clock_is_a_change(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "for n in range(12): sys.stdout.write(f'\\r\\x1b[2K{n} s'); sys.stdout.flush(); time.sleep(0.3)\n"
    )
    assert watched(sys.executable, "-c", code, cwd=tmp_path).returncode == 0


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.cold
def test_a_run_shows_every_three_seconds_that_it_goes_on(tmp_path: Path) -> None:
    dense(tmp_path / "net.onnx", width=32)
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((400, 32), np.float32))
    command = [sys.executable, "-m", "mlopt", "optimize", "net.onnx", "--data", "x.npz", "--no-sign", "--no-cache"]
    done = watched(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
