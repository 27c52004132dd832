"""The report: who is compared, what the intervals stand for, and what is said of those that were lost."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from campaign_parts import Figures, chain, figures, measured, model, recipe, run_of
from deployables import in_runtime

from mlopt.core.errors import ModelError
from mlopt.formats.model import TORCH
from mlopt.measure import statistics
from mlopt.results.figures import Accuracy, Sampling
from mlopt.run import report_builder
from mlopt.run.outcomes import Outcome, TrialVerdict
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.torch import under_compile


def test_the_references_every_kept_step_and_the_result_are_compared(tmp_path: Path) -> None:
    _, _, candidate_set = chain(tmp_path)
    names = [each.name for each in candidate_set.candidates]
    assert names == ["torch_eager", "onnx_fp32", "onnx_fp32 (again)", "after simplify (2)", "final"]
    assert candidate_set.steps == {0: "onnx_fp32", 1: "after simplify (2)", 3: "final"}
    assert {each.batch_size for each in candidate_set.candidates} == {2}


def test_a_chain_that_changed_nothing_is_still_measured_twice_and_once_more(tmp_path: Path) -> None:
    source = model(tmp_path, "source")
    names = [each.name for each in report_builder.candidate_set(in_runtime(source), [], 1).candidates]
    assert names == ["onnx_fp32", "onnx_fp32 (again)", "final"]


def compiled(folder: Path) -> report_builder.CandidateSet:
    source = in_runtime(model(folder, "torch", TORCH), 2)
    beside = {"torch_compile": under_compile(source)}
    return report_builder.candidate_set(source, [], 2, in_runtime(model(folder, "export"), 2), beside=beside)


def test_a_source_is_compiled_where_the_recipe_asks_for_it(tmp_path: Path) -> None:
    named = {each.name: each.deployable for each in compiled(tmp_path).candidates}
    eager, other = named["torch_eager"], named["torch_compile"]
    assert (other.model, other.runtime) == (eager.model, eager.runtime)
    assert other.options == eager.options.model_copy(update={"compile": True})


def test_what_is_compiled_is_a_reference_with_its_speedup(tmp_path: Path) -> None:
    candidate_set = compiled(tmp_path)
    report = report_builder.report(recipe(), candidate_set, [], run_of(candidate_set.candidates), figures(tmp_path))
    assert list(report.references) == list(report.speedups) == ["torch_eager", "torch_compile", "onnx_fp32"]
    assert report.speedups["torch_compile"].vs == "torch_compile"


def test_a_compiled_source_that_cannot_be_scored_is_lost_and_the_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate_set = compiled(tmp_path)
    known = Figures.accuracy

    def accuracy(self: Figures, judged: Deployable) -> Accuracy:
        if getattr(judged.options, "compile", False):
            raise ModelError("the model fails under it", got="InductorError")
        return known(self, judged)

    monkeypatch.setattr(Figures, "accuracy", accuracy)
    report = report_builder.report(recipe(), candidate_set, [], run_of(candidate_set.candidates), figures(tmp_path))
    assert list(report.references) == ["torch_eager", "onnx_fp32"]
    assert report.notes == ("torch_compile was not measured: the model fails under it: InductorError",)


def test_all_are_measured_under_the_clients_of_the_target(tmp_path: Path) -> None:
    source, outcomes, _ = chain(tmp_path)
    found = report_builder.candidate_set(in_runtime(source), outcomes, 2, clients=4)
    assert {(each.batch_size, each.concurrency) for each in found.candidates} == {(2, 4)}


def test_intervals_hold_over_all_looks(tmp_path: Path) -> None:
    _, outcomes, candidate_set = chain(tmp_path)
    run = run_of(candidate_set.candidates, looks_planned=3)
    report = report_builder.report(recipe(), candidate_set, outcomes, run, figures(tmp_path))
    base, final = run.measured["onnx_fp32"].blocks, run.measured["final"].blocks
    assert (report.speedup.median, *report.speedup.ci95) == statistics.speedup(base, final, 0.05 / 3)
    assert report.speedup.ci95 != statistics.speedup(base, final)[1:]
    assert report.final.latency_ms == statistics.latency(final, 0.05 / 3)
    again = run.measured["onnx_fp32 (again)"].blocks
    assert report.speedup.control == statistics.control(base, again, 0.05 / 3)
    assert report.speedup.noise_floor == statistics.noise_floor(base, again, 0.05 / 3)


def test_the_report_says_how_it_was_measured(tmp_path: Path) -> None:
    _, outcomes, candidate_set = chain(tmp_path)
    run = run_of(candidate_set.candidates, notes=("final: it was replaced",))
    report = report_builder.report(recipe(), candidate_set, outcomes, run, figures(tmp_path), notes=("a note",))
    assert report.sampling == Sampling(rounds=10, looks=1, looks_planned=3, stopped="decided", seconds=12.5)
    assert report.notes == ("a note", "final: it was replaced")
    assert report.final.cold_start is not None
    assert (report.final.cold_start.load_ms, report.final.batch_size) == (20.0, 2)
    assert report.final.throughput_per_s == pytest.approx(2000 / report.final.latency_ms.mean)
    assert [each.sample for each in report.differing] == [7]


def test_a_lost_reference_and_a_lost_step_are_left_out_with_the_cause(tmp_path: Path) -> None:
    _, outcomes, candidate_set = chain(tmp_path)
    lost = {"torch_eager": "it exited with code 3, in round 2", "after simplify (2)": "it hung, in round 1"}
    report = report_builder.report(
        recipe(), candidate_set, outcomes, run_of(candidate_set.candidates, lost), figures(tmp_path)
    )
    assert set(report.references) == set(report.speedups) == {"onnx_fp32"}
    assert report.notes == (
        "torch_eager was not measured: it exited with code 3, in round 2",
        "after simplify (2) was not measured: it hung, in round 1",
    )
    simplify = report.steps[1]
    assert (simplify.latency_ms, simplify.accuracy) == (None, None)
    assert simplify.notes == {"removed": 3, "not measured": "it hung, in round 1"}
    assert report.sampling is not None
    assert report.sampling.lost == lost
    assert report.steps[0].latency_ms is not None


def test_what_was_lost_after_the_first_look_keeps_its_figures(tmp_path: Path) -> None:
    _, outcomes, candidate_set = chain(tmp_path)
    whole = run_of(candidate_set.candidates)
    run = run_of(candidate_set.candidates, measured=whole.measured, lost={"torch_eager": "it was ended by SIGKILL"})
    report = report_builder.report(recipe(), candidate_set, outcomes, run, figures(tmp_path))
    assert set(report.references) == {"torch_eager", "onnx_fp32"}
    assert report.notes == ()
    assert report.sampling is not None
    assert report.sampling.lost == {"torch_eager": "it was ended by SIGKILL"}


def test_while_measuring_goes_on_no_model_is_evaluated(tmp_path: Path) -> None:
    _, _, candidate_set = chain(tmp_path)
    evaluator = figures(tmp_path)
    sampling = Sampling(rounds=10, looks=1, looks_planned=3, stopped="looks", seconds=1.0)
    samples = {each.name: measured(each) for each in candidate_set.candidates}
    candidates = report_builder.described(samples, evaluator.dataset, 0.05 / 3)
    report = report_builder.timings(recipe(), evaluator.hardware, candidates, samples, sampling)
    assert cast(Figures, evaluator).asked == []
    assert report.speedup.median == pytest.approx(2.0, rel=0.05)
    assert (report.final.accuracy, report.sampling) == (None, sampling)


def test_a_pytorch_model_has_the_work_of_the_graph_that_it_is_exported_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mlopt.measure.figures.macs",
        lambda model, _dataset, batch: (
            None if model.kind == TORCH else batch * (700 if "pruned" in str(model) else 900)
        ),
    )
    source, outcomes, _ = chain(tmp_path)
    step, optional = outcomes[0].step, TrialVerdict("no gain", macs=1300)
    pruned = [
        Outcome(step, 1, "applied", None, in_runtime(model(tmp_path, "narrow", TORCH), 2)),
        Outcome(step, 1, "dropped", "no gain", in_runtime(model(tmp_path, "other", TORCH), 2), trial=optional),
        Outcome(step, 1, "applied", None, in_runtime(model(tmp_path, "narrower", TORCH), 2)),
        Outcome(step, 1, "applied", None, in_runtime(model(tmp_path, "pruned"), 2)),
        Outcome(step, 1, "failed", "it broke"),
    ]
    exported = in_runtime(model(tmp_path, "export"), 2)
    candidate_set = report_builder.candidate_set(in_runtime(source, 2), pruned, 2, exported)
    run = run_of(candidate_set.candidates)
    report = report_builder.report(recipe(), candidate_set, pruned, run, figures(tmp_path))
    assert [one.macs for one in report.steps] == [None, 1300, 1400, 1400, None], "what the first became is not known"
    assert (report.references["torch_eager"].macs, report.baseline.macs, report.final.macs) == (1800, 1800, 1400)
