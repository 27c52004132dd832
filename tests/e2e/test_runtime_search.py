"""What is shipped where another runtime is the faster one: a made-up one, which is so on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from searching import cosine, odd_runtimes, optimize, recipe, shipped, why
from small_graphs import write_classifier

import mlopt
from mlopt.cli.app import run
from mlopt.core.errors import ExitCode, MeasureError
from mlopt.measure.candidate import Candidate, Run
from mlopt.results.roles import FINAL
from mlopt.run import experiment

FAST = "odd_recalls"
ON_SPEED = [{"metric": "speedup.median", "min": 0.001}]
CALIBRATED = {
    "calibration": {"source": "./x.npz", "split": [0.0, 0.5]}, "evaluation": {"source": "./x.npz", "split": [0.5, 1.0]},
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_classifier(tmp_path)
    return tmp_path


def statuses(made: mlopt.Artifact) -> dict[str, str]:
    return {each.name: each.status for each in made.report.steps}


def feeds(folder: Path, count: int = 8) -> dict[str, Any]:
    return {"x": np.load(folder / "x.npz")["x"][:count]}


def test_the_faster_runtime_is_shipped_and_a_second_run_takes_all_passes_from_the_cache(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd_runtimes(here, monkeypatch, "recalls")
    said = recipe("classifier", passes=["simplify", {"quantize": {"mode": "static"}}], data=CALIBRATED)
    made = optimize(here, said)
    assert (made.report.final.runtime, made.signed) == (FAST, True)
    assert made.report.speedup.median > 1
    assert run(["verify", "made", "--require-gate", "pass"]) == ExitCode.OK
    assert cosine(made, here / "classifier.onnx", feeds(here)) > 0.98
    again = optimize(here, said)
    assert set(statuses(again).values()) == {"cached"}
    assert again.version == 2
    fresh = optimize(here, said, use_cache=False)
    assert (statuses(fresh)["simplify"], fresh.report.final.runtime) == ("applied", FAST)


def test_a_step_that_one_runtime_drops_is_kept_where_another_wants_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So small a model gains nothing from INT8 in ONNX Runtime."""
    odd_runtimes(here, monkeypatch, "wants_int8")
    passes = ["simplify", {"quantize": {"mode": "static", "optional": True}}, {"fuse": {"optional": True}}]
    made = optimize(here, recipe("classifier", passes=passes, data=CALIBRATED))
    assert made.report.final.runtime == "odd_wants_int8"
    assert statuses(made)["quantize"] in {"applied", "cached"}
    assert statuses(made)["fuse"] in {"refused", "dropped"}
    one = shipped(made.report)
    assert one is not None
    assert "after quantize" in one.model


def test_a_required_step_for_onnx_runtime_is_left_out_in_another(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd_runtimes(here, monkeypatch, "recalls")
    made = optimize(here, recipe("classifier", passes=["simplify", "fuse"]))
    assert made.report.final.runtime == FAST
    (fuse,) = (each for each in made.report.steps if each.name == "fuse")
    assert (fuse.status, FAST in str(fuse.reason)) == ("dropped", True)
    in_onnx_runtime = [each for each in made.report.tried if each.runtime == "onnxruntime" and not each.unchanged]
    assert {each.model for each in in_onnx_runtime} == {"after fuse (2)"}


def test_where_no_gate_is_about_answers_another_runtime_must_give_the_same(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that answers the same whatever it is asked is by far the fastest."""
    odd_runtimes(here, monkeypatch, "repeats")
    made = optimize(here, recipe("classifier", gates=ON_SPEED))
    assert made.report.final.runtime == "onnxruntime"
    said = "it answers otherwise than onnxruntime, and no gate says how far it may: output 'probabilities', sample 1"
    assert any(said in each for each in why(made.report, "odd_repeats"))


def test_one_runtime_alone_leaves_nothing_to_choose(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd_runtimes(here, monkeypatch, "recalls")
    alone = {"runtime": "onnxruntime", "threads": 1}
    made = optimize(here, recipe("classifier", target=alone, passes=["simplify", "fuse"]))
    assert (made.report.final.runtime, made.report.tried, dict(made.report.spent)) == ("onnxruntime", (), {})
    assert set(statuses(made).values()) == {"applied"}


def test_only_the_runtimes_of_a_list_are_tried(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd_runtimes(here, monkeypatch, "recalls", "crashes")
    target = {"runtime": ["onnxruntime", FAST], "threads": 1, "batch_size": 4}
    made = optimize(here, recipe("classifier", target=target))
    assert {each.runtime for each in made.report.tried} == {"onnxruntime", FAST}
    assert (made.report.final.runtime, made.report.final.batch_size) == (FAST, 4)


def test_the_smallest_is_shipped_where_size_is_the_objective(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd_runtimes(here, monkeypatch, "recalls")
    passes = ["simplify", {"quantize": {"mode": "static", "optional": True}}]
    made = optimize(here, recipe("classifier", passes=passes, data=CALIBRATED, objective="size"))
    assert made.report.final.size_bytes == min(each.size_bytes for each in made.report.tried if each.valid)


def test_one_that_dies_only_in_the_last_comparison_takes_nothing_along(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd_runtimes(here, monkeypatch, "recalls")
    compared = experiment.compared

    def dies(of: Any, candidates: Sequence[Candidate], notify: Any) -> Run:
        (final,) = (each for each in candidates if each.name == FINAL)
        if final.deployable.runtime == FAST:
            raise MeasureError("the candidate could not be measured", where=FINAL, got="it was ended by SIGSEGV")
        return compared(of, candidates, notify)

    monkeypatch.setattr(experiment, "compared", dies)
    made = optimize(here, recipe("classifier"))
    assert (made.report.verdict, made.report.final.runtime) == ("pass", "onnxruntime")
    assert "lost in the last comparison: it was ended by SIGSEGV" in why(made.report, FAST)
