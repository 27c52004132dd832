"""ONNX Runtime's own profile: what counts of it, and how often a session is run for it."""

from __future__ import annotations

import json
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from mlopt.results.timing import NodeTime
from mlopt.runtimes.onnxruntime_profile import node_times, nodes_of


def event(name: str, ts: int, dur: int, op: str = "", cat: str = "Node") -> dict[str, Any]:
    return {"cat": cat, "name": name, "ts": ts, "dur": dur, "args": {"op_name": op, "node_index": "0"}}


def test_warming_up_is_not_counted_and_bodies_are_taken_off() -> None:
    events = [
        event("model_run", 0, 900, cat="Session"),
        event("a_kernel_time", 10, 800, "Conv"),
        event("inner_kernel_time", 1020, 60, "Exp"),
        event("loop_kernel_time", 1010, 100, "Loop"),
        event("a_kernel_time", 1110, 40, "Conv"),
        event("model_run", 1000, 200, cat="Session"),
        event("loop_kernel_time", 2010, 140, "Loop"),
        event("inner_kernel_time", 2020, 80, "Exp"),
        event("a_kernel_time", 2150, 20, "Conv"),
        event("model_run", 2000, 200, cat="Session"),
    ]
    assert node_times(events, 2) == [
        NodeTime("loop", "Loop", 0.05), NodeTime("inner", "Exp", 0.07), NodeTime("a", "Conv", 0.03),
    ]  # fmt: skip


def test_a_time_is_the_median_of_the_runs_and_never_negative() -> None:
    """Clocks are coarse: a body may seem longer than what it is in."""
    runs = [1000, 2000, 3000]
    events = [event("model_run", start, 500, cat="Session") for start in runs]
    events += [event("a_kernel_time", start + 1, dur, "Conv") for start, dur in zip(runs, (10, 400, 20), strict=True)]
    assert node_times(events, 3) == [NodeTime("a", "Conv", 0.02)]
    inside = [event("model_run", 0, 90, cat="Session"), event("if_kernel_time", 10, 5, "If"),
              event("exp_kernel_time", 11, 50, "Exp")]  # fmt: skip
    assert {node.name: node.ms for node in node_times(inside, 1)} == {"if": 0.0, "exp": 0.05}


class Session:
    """Counts its runs, and writes what a profile of them would hold."""

    def __init__(self, folder: Path) -> None:
        self.runs, self._path = 0, folder / "profile.json"

    def run(self, _names: None, _feeds: dict[str, Any]) -> list[Any]:
        self.runs += 1
        return []

    def end_profiling(self) -> str:
        events = []
        for start in range(0, 1000 * self.runs, 1000):
            events += [event("model_run", start, 900, cat="Session"), event("a_kernel_time", start + 1, 7, "Conv")]
        self._path.write_text(json.dumps(events))
        return str(self._path)


@pytest.mark.parametrize(("seconds", "least", "most"), [(0.0, 6, 6), (60.0, 103, 103)])
def test_a_session_runs_for_its_time_but_within_limits(tmp_path: Path, seconds: float, least: int, most: int) -> None:
    """Three runs to warm up, at least three that count, and no more than a file holds well."""
    session = Session(tmp_path)
    assert nodes_of(session, repeat({}), seconds) == [NodeTime("a", "Conv", 0.007)]  # type: ignore[arg-type]
    assert least <= session.runs <= most
