"""Imports beside other work: done by its end, and no error of theirs is raised."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from mlopt.core.meanwhile import imported


def test_modules_are_there_at_the_end_and_no_thread_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "slow_to_come.py").write_text("import time\ntime.sleep(0.05)\nhere = True\n")
    before = threading.active_count()
    with imported("not_there_at_all", "slow_to_come"):
        assert sys.modules.get("not_there_at_all") is None
    assert sys.modules.pop("slow_to_come").here
    assert threading.active_count() == before


def test_an_error_of_the_body_is_raised_when_the_imports_are_done() -> None:
    with pytest.raises(KeyError), imported("json"):
        raise KeyError
