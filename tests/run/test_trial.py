"""What an optional step's trial says against it, in words that name what the run could not tell."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import campaign_parts
import pytest
from campaign_parts import chain, figures, model, recipe, run_of
from deployables import in_runtime

from mlopt.core.target import Objective
from mlopt.measure.evaluate import Evaluator
from mlopt.recipe.schema import Recipe
from mlopt.run import experiment, report_builder
from mlopt.run.experiment import Experiment
from mlopt.run.outcomes import TrialVerdict
from mlopt.run.trial import TrialRun, trial


def made_up(patch: pytest.MonkeyPatch, wanted: Recipe, evaluator: Evaluator) -> TrialRun:
    """What a run's own trial reports, of samples made by formula."""
    patch.setattr(experiment, "short", lambda _experiment, candidates, _notify: run_of(candidates, looks_planned=1))
    return partial(experiment.trial_run, Experiment(wanted, evaluator, {}, Path()), lambda _detail, _share: None)


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``tried(final, again)``: the ruling on a lossy step, by the paces of its model and of the control; 2.0 is old.

    ``lossless`` is how many bytes the model of a lossless step has more, if it is on trial instead.
    """

    def rule(final: float, again: float, lossless: int | None = None, objective: str = "latency") -> TrialVerdict:
        monkeypatch.setitem(campaign_parts.PACE, "final", final)
        monkeypatch.setitem(campaign_parts.PACE, "onnx_fp32 (again)", again)
        evaluator = figures(tmp_path)
        monkeypatch.setattr(evaluator, "source", in_runtime(model(tmp_path, "source")), raising=False)
        wanted = recipe().model_copy(update={"objective": Objective(objective)})
        best, new = model(tmp_path, "best"), model(tmp_path, "new")
        new.path.write_bytes(bytes(best.size_bytes + (lossless or 0)))
        judge = trial(wanted, {}, made_up(monkeypatch, wanted, evaluator))
        return judge(in_runtime(best), in_runtime(new), lossless is None)

    return rule


def test_a_gate_against_a_stored_report_is_judged_on_trial_as_it_is_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = figures(tmp_path)
    source, outcomes, candidate_set = chain(tmp_path)
    monkeypatch.setattr(evaluator, "source", source, raising=False)
    wide, narrow = ({"metric": "accuracy.drop_pt", "max": most, "vs": "./main.json"} for most in (50.0, 1.0))
    run, data = run_of(candidate_set.candidates), {"evaluation": evaluator.dataset}
    stored = report_builder.report(recipe(), candidate_set, outcomes, run, evaluator, data=data)

    def verdict(gate: Mapping[str, Any]) -> TrialVerdict:
        wanted = recipe((gate,))
        judge = trial(wanted, {"./main.json": stored}, made_up(monkeypatch, wanted, evaluator))
        return judge(in_runtime(model(tmp_path, "best")), in_runtime(model(tmp_path, "new")), True)

    assert verdict(wide).reason is None
    assert "of which nobody can say that it is <= 1 vs ./main.json" in str(verdict(narrow).reason)


def test_a_gain_beyond_the_noise_keeps_a_step(tried: Any) -> None:
    assert tried(final=1.0, again=2.0).reason is None


def test_a_loss_is_told_with_what_two_copies_differed_by(tried: Any) -> None:
    reason = tried(final=2.2, again=2.0).reason
    assert reason.startswith("no measurable gain: 0.91x (")
    assert "the speed of the model before it; two copies of one model differed by up to " in reason


def test_a_gain_that_the_noise_hides_is_not_denied(tried: Any) -> None:
    """2.0 against 1.0 is a gain of 2x, and two copies differed by 4."""
    assert tried(final=1.0, again=8.0).reason.startswith("too noisy to tell: 2.00x (")


def test_a_gain_beyond_what_the_control_was_off_by_keeps_a_step(tried: Any) -> None:
    assert tried(final=1.0, again=1.9).reason is None


def test_a_control_that_excludes_1_is_what_a_step_is_dropped_for(tried: Any) -> None:
    reason = tried(final=1.95, again=1.9).reason
    assert reason.startswith("no measurable gain: 1.03x (")
    assert "two copies of one model came out 1.05" in reason
    assert reason.endswith("x apart")


@pytest.mark.parametrize("objective", ["latency", "throughput"])
@pytest.mark.parametrize(
    ("final", "again", "more", "told"),
    [
        (2.0, 2.0, 0, None),  # it does no harm
        (2.0, 2.0, -1, None),
        (1.0, 2.0, 1000, None),  # worth its bytes
        (2.0, 2.0, 1, "larger: 5 bytes against 4, and no measurable gain: 1.00x ("),
        (1.0, 8.0, 1, "larger: 5 bytes against 4, and too noisy to tell: 2.00x ("),
        (8.0, 2.0, -1, "measurably slower: 0.25x ("),
        (8.0, 2.0, 1, "measurably slower: 0.25x ("),
    ],
)
def test_a_lossless_step_goes_if_it_is_slower_or_larger_for_nothing(
    tried: Any, objective: str, final: float, again: float, more: int, told: str | None
) -> None:
    reason = tried(final, again, more, objective).reason
    assert reason is None if told is None else reason.startswith(told), reason


def test_where_size_counts_a_lossless_step_that_is_larger_goes_however_fast_it_is(tried: Any) -> None:
    assert tried(1.0, 2.0, 1, "size").reason == "larger: 5 bytes against 4"
    assert tried(8.0, 2.0, 0, "size").reason is None
