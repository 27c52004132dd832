"""What a run measures: more looks where a gate asks for them, and no verdict without what it hangs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import campaign_parts
import pytest
from campaign_parts import chain, figures, measured, recipe, run_of

from mlopt import report as reports
from mlopt.core.errors import MeasureError
from mlopt.core.target import Target
from mlopt.measure import latency, operators, sweep
from mlopt.measure.candidate import Candidate, Run
from mlopt.measure.schedule import Schedule
from mlopt.recipe.schema import Recipe
from mlopt.results.figures import LayerPrecision
from mlopt.results.timing import Layer, NodeTime
from mlopt.run import experiment
from mlopt.run.experiment import Experiment
from mlopt.run.report_builder import CandidateSet


@dataclass
class Engine:
    """Stands in for ``latency.measure``: asks what it was told to ask, and loses what it was told to lose."""

    lost: Mapping[str, str] = field(default_factory=dict)
    schedules: list[Schedule] = field(default_factory=list)
    wanted: list[set[str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __call__(self, candidates: Sequence[Candidate], _: Any, schedule: Schedule, **ask: Any) -> Run:
        self.schedules.append(schedule)
        found = {each.name: measured(each) for each in candidates if each.name not in self.lost}
        if ask.get("undecided") is not None:
            self.wanted.append(set(ask["undecided"](found)))
        if ask.get("interim") is not None:
            self.said.append(ask["interim"](found))
        return run_of(tuple(candidates), self.lost, schedule.looks)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    found = Engine()
    monkeypatch.setattr(latency, "measure", found)
    return found


def compared(folder: Path, wanted: Recipe) -> tuple[Run, CandidateSet]:
    _, _, candidate_set = chain(folder)
    return experiment.compared(
        Experiment(wanted, figures(folder), {}, folder / "repro"), candidate_set.candidates, quiet
    ), candidate_set


def quiet(_detail: str, _share: float) -> None:
    """Say nothing."""


def said(_stage: str, _detail: str, _share: float | None) -> None:
    """Say nothing of any stage."""


def test_a_decided_gate_asks_for_nothing(tmp_path: Path, engine: Engine) -> None:
    compared(tmp_path, recipe(({"metric": "speedup.median", "min": 1.5, "vs": "onnx_fp32"},), max_time=77))
    assert engine.wanted == [set()]
    assert (engine.schedules[0].looks, engine.schedules[0].max_time) == (3, 77)
    assert engine.said[0].startswith("speedup 2.0")


def test_an_undecided_ratio_takes_its_reference_and_the_control(tmp_path: Path, engine: Engine) -> None:
    compared(tmp_path, recipe(({"metric": "speedup.median", "min": 4.0, "vs": "torch_eager"},)))
    assert engine.wanted == [{"torch_eager", "final", "onnx_fp32", "onnx_fp32 (again)"}]


def test_an_undecided_percentile_takes_the_result_alone(tmp_path: Path, engine: Engine) -> None:
    ratio = {"metric": "speedup.median", "min": 1.5, "vs": "onnx_fp32"}
    compared(tmp_path, recipe((ratio, {"metric": "latency.p50_ms", "max": 1.0})))
    assert engine.wanted == [{"final"}]


def test_one_look_is_planned_where_no_gate_can_ask_for_more(tmp_path: Path, engine: Engine) -> None:
    compared(tmp_path, recipe(({"metric": "accuracy.value", "min": 0.5},)))
    compared(tmp_path, recipe(({"metric": "speedup.median", "min": 2.0, "on_inconclusive": "warn"},)))
    assert [schedule.looks for schedule in engine.schedules] == [1, 1]
    assert engine.wanted == [set(), set()]


def test_there_is_no_verdict_without_the_result_but_the_samples_are_kept(tmp_path: Path, engine: Engine) -> None:
    engine.lost = {"final": "it was ended by SIGSEGV (a crash in native code), in round 3, for the second time"}
    kept = tmp_path / "repro" / "net-samples.json"
    with pytest.raises(MeasureError) as caught:
        compared(tmp_path, recipe())
    assert str(caught.value) == (
        "final: the candidate could not be measured\n"
        "  got       it was ended by SIGSEGV (a crash in native code), in round 3, for the second time\n"
        f"  fix       the samples of the others are in {kept}"
    )
    assert set(reports.read_samples(kept)) == {"torch_eager", "onnx_fp32", "onnx_fp32 (again)", "after simplify (2)"}


ANY = {"metric": "speedup.median", "min": 1.0}


@pytest.mark.parametrize(("gates", "ends"), [((), False), ((ANY,), False), ((ANY | {"vs": "torch_eager"},), True)])
def test_a_reference_is_missed_only_by_a_gate_that_names_it(
    tmp_path: Path, engine: Engine, gates: tuple[Mapping[str, Any], ...], ends: bool
) -> None:
    engine.lost = {"torch_eager": "it hung"}
    if ends:
        with pytest.raises(MeasureError, match="torch_eager"):
            compared(tmp_path, recipe(gates))
    else:
        assert set(compared(tmp_path, recipe(gates))[0].lost) == {"torch_eager"}


@pytest.mark.parametrize(
    ("final", "again", "more"),
    [(1.0, 2.0, False), (1.0, 5.0, True), (2.0, 5.0, False), (3.0, 2.0, False)],
    ids=["a gain", "a gain that may be noise", "no gain", "a loss"],
)
def test_a_trial_is_short_and_looks_again_only_at_a_gain_that_may_be_noise(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, final: float, again: float, more: bool
) -> None:
    monkeypatch.setitem(campaign_parts.PACE, "final", final)
    monkeypatch.setitem(campaign_parts.PACE, "onnx_fp32 (again)", again)
    _, _, candidate_set = chain(tmp_path)
    experiment.short(Experiment(recipe(seconds=2.0), figures(tmp_path), {}, tmp_path), candidate_set.candidates, quiet)
    schedule = engine.schedules[0]
    assert (schedule.looks, schedule.seconds, schedule.rounds, schedule.least) == (2, 1.0, 10, 20)
    assert engine.wanted == [{each.name for each in candidate_set.candidates} if more else set()]


def test_a_trial_and_the_batch_sizes_have_the_clients_of_the_target(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Candidate] = []

    def measure(candidates: Sequence[Candidate], *more: Any, **ask: Any) -> Run:
        asked.extend(candidates)
        return engine(candidates, *more, **ask)

    monkeypatch.setattr(latency, "measure", measure)
    monkeypatch.setattr(sweep, "measure", lambda candidates, *_, **__: measure(candidates, None, Schedule(1, 7, 1)))
    wanted = recipe(batch_sizes=[4], operators=False).model_copy(update={"target": Target(batch_size=2, clients=3)})
    _, _, candidate_set = chain(tmp_path)
    evaluator = figures(tmp_path)
    evaluator.source = candidate_set.source  # type: ignore[misc]
    subject = Experiment(wanted, evaluator, {}, tmp_path)
    experiment.trial_run(subject, quiet, candidate_set.baseline, candidate_set.final)
    assert {(each.name, each.batch_size, each.concurrency) for each in asked} == {
        (name, 2, 3) for name in ("onnx_fp32", "onnx_fp32 (again)", "final")
    }
    asked.clear()
    experiment.explained(subject, run_of(candidate_set.candidates), said)
    assert {(each.batch_size, each.concurrency) for each in asked if " at " in each.name} == {(4, 3)}


def test_operators_of_both_ends_are_timed_and_a_failure_is_a_note(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def profile(candidate: Candidate, *_: Any) -> list[NodeTime]:
        if candidate.name == "final":
            raise MeasureError("the model could not be profiled", got="it crashed")
        return [NodeTime("conv", "Conv", 1.5)]

    monkeypatch.setattr(operators, "profile", profile)
    _, _, candidate_set = chain(tmp_path)
    run = run_of(candidate_set.candidates)
    found = experiment.explained(Experiment(recipe(), figures(tmp_path), {}, tmp_path), run, said)
    assert {name: [each.op_type for each in times] for name, times in found.operators.items()} == {
        "onnx_fp32": ["Conv"]
    }
    assert found.notes == ("the operators of final were not timed: the model could not be profiled",)


def test_operators_are_not_timed_when_the_recipe_says_so(tmp_path: Path, engine: Engine) -> None:
    _, _, candidate_set = chain(tmp_path)
    run = run_of(candidate_set.candidates)
    found = experiment.explained(Experiment(recipe(operators=False), figures(tmp_path), {}, tmp_path), run, said)
    assert (found.operators, found.notes, found.sweep) == ({}, (), ())


def test_the_precision_that_ran_is_found_with_the_operators(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def layers(candidate: Candidate, _: Path) -> list[Layer]:
        if candidate.name != "final":
            raise MeasureError("its layers could not be read")
        return [Layer("conv", "Convolution", "bf16", "", ("conv",))]

    monkeypatch.setattr(operators, "profile", lambda *_: [NodeTime("conv", "Conv", 1.5, "bf16")])
    monkeypatch.setattr(operators, "layers", layers)
    _, _, candidate_set = chain(tmp_path)
    run = run_of(candidate_set.candidates)
    found = experiment.explained(Experiment(recipe(), figures(tmp_path), {}, tmp_path), run, said)
    assert found.layers == {"final": (LayerPrecision(precision="bf16", layers=1, share=1.0),)}
    assert set(found.operators) == {"onnx_fp32", "final"}
    assert found.notes == ("in which precision onnx_fp32 runs is not known: its layers could not be read",)
