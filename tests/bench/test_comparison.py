"""A comparison of models that no recipe made: who stands for what, what gates ask for, and when nothing is judged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaign_parts import model, run_of
from deployables import in_runtime

from mlopt.bench import comparison as module
from mlopt.bench.comparison import Comparison
from mlopt.core.hardware import Hardware
from mlopt.data.dataset import Samples, store
from mlopt.gate.limits import Gate
from mlopt.measure.candidate import Candidate, Run
from mlopt.measure.schedule import Schedule

FIRST, LAST = "onnx_fp32", "final"  # at the paces of tests' runs: 2 ms and 1 ms; torch_eager takes 4


def comparison(folder: Path, *names: str, gates: tuple[Gate, ...] = (), looks: int = 3) -> Comparison:
    candidates = tuple(Candidate(name, in_runtime(model(folder, name))) for name in names)
    data = store(Samples({"x": np.zeros((8, 4), np.float32)}), folder / "data", "made")
    hardware = Hardware(cpu="test", architecture="x86_64", isa=("avx2",), cores=2, memory_bytes=1)
    schedule = Schedule(seconds=1.0, rounds=10, max_time=60.0, looks=looks)
    return Comparison("net", candidates, data, hardware, schedule, gates, {}, "raw.json")


def run(compared: Comparison, lost: Mapping[str, str] = {}) -> Run:
    again = Candidate(compared.roles.control, compared.candidates[0].deployable)
    return run_of((*compared.candidates, again), lost)


def test_the_first_is_measured_twice_and_the_last_is_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def compare(candidates: Any, *_: Any, **how: Any) -> str:
        asked.update(how, names=[each.name for each in candidates])
        return "run"

    monkeypatch.setattr(module, "compare", compare)
    comparison(tmp_path, FIRST, "torch_eager", LAST).measure(lambda *_: None)
    assert asked["names"] == [FIRST, "torch_eager", LAST, f"{FIRST} (again)"]
    assert (asked["copies"], asked["final"]) == ((FIRST, f"{FIRST} (again)"), LAST)
    assert asked["undecided"] is None  # there are no gates, so no second look


def test_a_model_on_its_own_is_baseline_and_result(tmp_path: Path) -> None:
    alone = comparison(tmp_path, FIRST)
    assert (alone.roles.base, alone.roles.final) == (FIRST, FIRST)
    found = alone.report(run(alone).measured)
    assert found.baseline == found.final
    assert found.speedup.ci95 == found.speedup.control
    assert list(found.references) == [FIRST]


def test_a_report_has_the_others_as_references_and_no_verdict(tmp_path: Path) -> None:
    three = comparison(tmp_path, FIRST, "torch_eager", LAST)
    found = three.report(run(three).measured)
    assert list(found.references) == [FIRST, "torch_eager"]
    assert found.speedup.median == pytest.approx(2.0, rel=0.05)
    assert found.speedups["torch_eager"].median == pytest.approx(4.0, rel=0.05)
    assert (found.verdict, found.gates) == ("inconclusive", ())
    assert found.data["bench"]["samples"] == 8
    assert f"{FIRST} (again)" not in three.described(run(three).measured)


def test_only_undecided_gates_ask_for_more(tmp_path: Path) -> None:
    decided = comparison(tmp_path, FIRST, LAST, gates=(Gate(metric="speedup.median", min=1.5),))
    assert decided.undecided(run(decided).measured) == frozenset()
    close = comparison(tmp_path, FIRST, LAST, gates=(Gate(metric="speedup.median", min=2.0),))
    assert close.undecided(run(close).measured) >= {FIRST, LAST}


def test_verdicts_wait_for_every_model_that_a_gate_names(tmp_path: Path) -> None:
    gates = (Gate(metric="speedup.median", min=1.5), Gate(metric="speedup.median", min=3.0, vs="torch_eager"))
    three = comparison(tmp_path, FIRST, "torch_eager", LAST, gates=gates)
    assert three.judged_by == {FIRST, f"{FIRST} (again)", LAST, "torch_eager"}
    whole = run(three)
    judged = three.judged(three.report(whole.measured), whole.measured)
    assert (judged.verdict, [each.verdict for each in judged.gates]) == ("pass", ["pass", "pass"])
    part = run(three, {"torch_eager": "it died"})
    unjudged = three.judged(three.report(part.measured), part.measured)
    assert (unjudged.verdict, unjudged.gates) == ("inconclusive", ())


def test_more_looks_leave_each_interval_less_error(tmp_path: Path) -> None:
    assert comparison(tmp_path, FIRST, LAST, looks=1).alpha == pytest.approx(0.05)
    (tmp_path / "more").mkdir()
    assert comparison(tmp_path / "more", FIRST, LAST, looks=5).alpha == pytest.approx(0.01)
