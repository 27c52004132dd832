"""The account of a search: what is booked twice, what was never measured, and that the report can read it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from mlopt.compress.quantization.scheme import Mode
from mlopt.compress.quantization.search_log import SearchLog
from mlopt.compress.quantization.versions import Quality, Version, Written
from mlopt.results.timing import Speed


def version(folder: Path, number: int, quality: Quality) -> Version:
    (folder / "m.onnx").write_bytes(b"12345")
    return Version(Mode.STATIC, ("a",), folder / "m.onnx", Written(frozenset("a"), {}, {}), quality, number)


def test_time_is_booked_though_a_stage_fails_and_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.5, 10.0, 12.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    log = SearchLog()
    with log.spending("judging"):
        pass
    with pytest.raises(ZeroDivisionError), log.spending("judging"):
        raise ZeroDivisionError
    assert log.seconds == {"judging": 3.5}


def test_a_version_keeps_the_row_that_it_was_judged_in(tmp_path: Path) -> None:
    log, good, bad = SearchLog(), Quality(0.9999999, 40.0, 0.9, None), Quality(0.5, 3.0, None, "cosine 0.50")
    numbers = [log.judged(Mode.STATIC, 3, bad), log.judged(Mode.STATIC, 1, good)]
    kept = version(tmp_path, numbers[1], good)
    log.measured(kept, Speed(1.23456, 1.2, 1.3))
    first, second = log.notes(kept)["front"]
    assert (first["objection"], first["speedup"]) == ("cosine 0.50", None)
    assert "size_bytes" not in first
    assert (second["cosine"], second["speedup"], second["size_bytes"]) == (1.0, [1.235, 1.2, 1.3], 5)
    assert log.notes(kept)["chosen"] == numbers[1] == 1
    assert log.notes(None)["chosen"] is None


def test_what_is_known_of_a_layer_comes_together_by_mode() -> None:
    log = SearchLog()
    log.book(Mode.STATIC, "a", ms=1.0)
    log.book(Mode.STATIC, "a", noise=0.1)
    log.book(Mode.DYNAMIC, "a", ms=2.0)
    assert log.layers == {"static": {"a": {"ms": 1.0, "noise": 0.1}}, "dynamic": {"a": {"ms": 2.0}}}


def test_the_account_is_json(tmp_path: Path) -> None:
    log, quality = SearchLog(), Quality(1.0, None, None, None)
    kept = version(tmp_path, log.judged(Mode.STATIC, 1, quality), quality)
    log.measured(kept, None)
    notes = log.notes(kept)
    assert json.loads(json.dumps(notes, allow_nan=False)) == notes
