"""Both ends of the program: streams that are not there, those that take no more, and signals."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.process
def test_a_signal_that_is_ignored_stays_so() -> None:
    """``nohup`` starts what is not to end with its terminal."""
    told = "import signal; from mlopt.cli.ends import end_in_order; end_in_order(); print(repr(signal.getsignal(1)))"
    done = subprocess.run(["nohup", sys.executable, "-c", told], text=True, capture_output=True, check=True)
    assert "SIG_IGN" in done.stdout
