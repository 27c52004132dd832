"""Both ends of the program: streams that are not there, those that take no more, and signals."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlopt.cli import ends
from mlopt.core.errors import ExitCode


@pytest.mark.process
def test_a_signal_that_is_ignored_stays_so() -> None:
    """``nohup`` starts what is not to end with its terminal."""
    told = "import signal; from mlopt.cli.ends import end_in_order; end_in_order(); print(repr(signal.getsignal(1)))"
    done = subprocess.run(["nohup", sys.executable, "-c", told], text=True, capture_output=True, check=True)
    assert "SIG_IGN" in done.stdout


def test_the_code_stays_where_both_streams_take_all(capsys: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write("text\n")
    assert ends.flushed(ExitCode.GATE_FAILED) == ExitCode.GATE_FAILED
    assert capsys.readouterr().out == "text\n"


def test_a_full_disk_is_no_failed_gate_and_what_is_left_fails_no_second_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        stream.write("text")
        assert ends.flushed(ExitCode.OK) == ExitCode.USAGE
        stream.write("more")
        assert ends.flushed(ExitCode.GATE_FAILED) == ExitCode.GATE_FAILED
    assert capsys.readouterr().err == "error: the output cannot be written: No space left on device\n"


def test_a_reader_who_has_gone_is_told_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        stream.write("text")
        assert ends.flushed(ExitCode.OK) == ExitCode.PIPE_CLOSED
    assert capsys.readouterr().err == ""


def test_a_stream_that_python_did_not_open_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    ends.open_streams()
    assert [stream.fileno() for stream in (sys.stdin, sys.stdout, sys.stderr)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (BrokenPipeError(errno.EPIPE, "gone"), True),
        (OSError(errno.ENOSPC, "full", "model.onnx"), False),
        (OSError(errno.EACCES, "denied"), False),
    ],
)
def test_an_error_that_names_a_file_is_not_a_streams(error: OSError, expected: bool) -> None:
    assert ends.is_of_a_stream(error) is expected
