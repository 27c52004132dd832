"""What mlopt does to a large model, it does in less than twice its size: the benchmark, with smaller weights.

MLOPT_LARGE_MODEL=1 runs it at its own size, above 2 GB; benchmarks/results/large_model.json holds such a run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/large_model.py"
SMALLER = ["--width", "2048", "--layers", "24", "--external-above", "1000000"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_step_takes_twice_the_size_of_the_model(tmp_path: Path) -> None:
    size = [] if os.environ.get("MLOPT_LARGE_MODEL") else SMALLER
    done = subprocess.run(
        [sys.executable, SCRIPT, *size, "--output", tmp_path / "result.json"],
        env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    steps = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["steps"]
    assert [step["step"] for step in steps] == [
        "simplify", "fuse", "quantize, dynamic", "quantize, weights only"
    ]  # fmt: skip
    for step in steps:
        assert step["peak_rss_bytes"] <= 2 * step["size_bytes"]
        assert step["cosine"] > 0.99
    unchanged, integers = steps[:2], steps[2:]
    assert all(step["result_bytes"] == pytest.approx(step["size_bytes"], rel=0.01) for step in unchanged)
    assert all(step["result_bytes"] < step["size_bytes"] / 3 for step in integers)
    assert not list(tmp_path.glob("mlopt-large-*"))
