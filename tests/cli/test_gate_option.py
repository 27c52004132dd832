"""Limits from the command line and from a file, together."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_example import example_report

from mlopt import report as reports
from mlopt.cli.gate_option import read_gates
from mlopt.core.errors import GateError


def test_both_are_judged_and_a_file_is_found_from_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    for folder in (tmp_path, tmp_path / "below"):
        reports.write(example_report(), folder / "old.json")
    file = tmp_path / "below" / "gates.yaml"
    file.write_text("gates:\n  - {metric: size.ratio, max: 1, vs: old.json}\n")
    (tmp_path / "old.json").rename(tmp_path / "here.json")
    gates, stored = read_gates(["speedup.median >= 1 vs here.json", "latency.p50_ms <= 9"], file, given=())
    assert [gate.metric for gate in gates] == ["speedup.median", "latency.p50_ms", "size.ratio"]
    assert set(stored) == {"here.json", "old.json"}


def test_what_is_given_besides_is_no_file() -> None:
    gates, stored = read_gates(["speedup.median >= 1 vs a/model.json"], None, given={"a/model.json"})
    assert (len(gates), stored) == (1, {})


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(GateError) as caught:
        read_gates(["speedup.median", "latency.p50_ms < 3"], None, given=())
    assert len(caught.value.problems) == 2
