"""A look at a library in a child: it tells, or says why it could not, and takes nobody along."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from mlopt.runtimes.look import about_runtime, look

pytestmark = pytest.mark.process


def test_a_runtime_tells_of_this_machine() -> None:
    found = look(about_runtime, "onnxruntime")
    assert (found.failure, "CPUExecutionProvider" in found.about["providers"]) == (None, True)
    assert found.about["telemetry"] == "off, by ORT_DISABLE_TELEMETRY=1"


@pytest.mark.parametrize(
    ("function", "args", "said"),
    [
        (os.abort, (), "it was ended by SIGABRT"),
        (os._exit, (7,), "it exited with code 7"),
        (time.sleep, (60,), "it did not answer for 0.5 s and was ended"),
        (os.stat, ("/no/such/file",), "FileNotFoundError"),
        (about_runtime, ("no-such-runtime",), "no installed package brings the runtime"),
    ],
)
def test_whatever_happens_in_it_is_told(function: object, args: tuple[object, ...], said: str) -> None:
    limit = 0.5 if function is time.sleep else 60.0
    found = look(function, *args, limit=limit)  # type: ignore[arg-type]
    assert (found.about, said in str(found.failure)) == ({}, True), found.failure


@pytest.mark.cold
def test_a_library_that_crashes_when_it_is_imported_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("print('about to fail', flush=True)\nimport os\nos.abort()\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = look(about_runtime, "torch")
    assert found.failure == ("it was ended by SIGABRT; the last line it printed: about to fail")
    (tmp_path / "torch.py").write_text("raise ImportError('libfoo.so: cannot open shared object file')\n")
    assert look(about_runtime, "torch").failure == "libfoo.so: cannot open shared object file"
