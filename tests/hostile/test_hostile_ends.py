"""How a command ends when nobody reads, nothing can be written, or it is told to: never as if a gate had failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bench_models import dense
from packed_artifact import pack
from small_files import endless

from mlopt.core.errors import ExitCode

COMMANDS = ("gate digits", "report digits", "digest digits --json", "--help")


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    pack(tmp_path, None)
    return tmp_path


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line.replace("mlopt", f"{sys.executable} -m mlopt")], cwd=folder, text=True, check=False,
        capture_output=True, timeout=60, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (">&-", ExitCode.OK), (">&- 2>&-", ExitCode.OK), ("<&- >&- 2>&-", ExitCode.OK), ("2>&-", ExitCode.OK),
        ("> /dev/full", ExitCode.USAGE), ("| true; exit ${PIPESTATUS[0]}", ExitCode.PIPE_CLOSED),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", COMMANDS)
def test_streams(digits: Path, command: str, ending: str, code: ExitCode) -> None:
    done = shell(f"mlopt {command} {ending}", digits)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert ("the output cannot be written: No space left on device" in done.stderr) == ("full" in ending)


def test_a_closed_stream_is_not_the_next_file(digits: Path) -> None:
    """The file of ``-o`` would be number 1, and get what is printed."""
    assert shell("mlopt report digits --format md -o out.md >&- 2>&-", digits).returncode == ExitCode.OK
    assert (digits / "out.md").read_text().startswith("# digits")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda n: n.name)
def test_a_run_that_is_told_to_end_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    dense(tmp_path / "m.onnx", layers=3)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlopt", "optimize", "m.onnx", "--no-sign"], cwd=tmp_path, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(scratch), "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(scratch.glob("mlopt-run-*/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert [path.name for path in scratch.iterdir() if "measuring" not in path.name] == []


def test_native_code_that_never_returns_is_ended_too(tmp_path: Path) -> None:
    endless(tmp_path / "m.onnx")
    told = (
        "from mlopt.cli.ends import end_in_order; end_in_order()\n"
        "import onnxruntime, numpy\n"
        "session = onnxruntime.InferenceSession('m.onnx', providers=['CPUExecutionProvider'])\n"
        "print('running', flush=True)\n"
        "session.run(None, {'x': numpy.ones(1, numpy.float32)})\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", told], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    process.stdout.close()
