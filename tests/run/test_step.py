"""One step: what comes out of the cache, what its fingerprint is made of, and what reaches the pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaign_parts import OPTIONS, figures, model
from deployables import in_runtime

from mlopt.core.cache import Store
from mlopt.core.errors import PassError
from mlopt.core.target import Objective, Target
from mlopt.formats.model import Model
from mlopt.passes.base import Requires
from mlopt.passes.table import table
from mlopt.recipe.schema import Step
from mlopt.results.budget import Budget
from mlopt.run import step as pipeline
from mlopt.run.outcomes import Outcome
from mlopt.run.step import Job

CHANGED = "output 'y', sample 7: value 0 is 1 where 2 was expected"


def job(tmp_path: Path, **more: Any) -> Job:
    parts = figures(tmp_path)
    given: dict[str, Any] = {"passes": table(), "samples": parts.dataset, "samples_digest": "digest"}
    return Job(
        name="net", target=Target(), objective=Objective.LATENCY, hardware=parts.hardware, inputs=(), outputs=(),
        budget=Budget(), store=Store(tmp_path / "cache"), options=OPTIONS, logs=tmp_path / "logs",
        repro=tmp_path / "repro", **(given | more),
    )  # fmt: skip


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``refused(notes)``: run a step that refuses with these notes, in one cache and one setting each time."""
    setting = job(tmp_path)

    def run(notes: Mapping[str, Any], *, optional: bool = True) -> Outcome:
        answer = {"refused": "no layer is faster", "notes": dict(notes)}
        monkeypatch.setattr(pipeline, "run_in_worker", lambda *_, **__: answer)
        step = Step(name="quantize", config=setting.passes["quantize"].config(), optional=optional)
        return pipeline.held(in_runtime(model(tmp_path, "source")), 0, step, setting)

    return run


def test_what_a_search_did_not_find_may_be_looked_for_again(refused: Any) -> None:
    assert refused({"search": {"sets": 3}}).reason == "no layer is faster"
    again = refused({"search": {"sets": 3}})
    assert again.status == "refused"
    assert again.reason == "no layer is faster (found in an earlier run; --no-cache looks again)"
    with pytest.raises(PassError, match=r"'quantize' does not apply: .*; --no-cache looks again\)"):
        refused({"search": {"sets": 3}}, optional=False)


def test_what_needs_no_search_is_the_same_in_every_run(refused: Any) -> None:
    assert [refused({}).reason for _ in range(2)] == ["no layer is faster"] * 2


def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, optional: bool = False) -> Outcome:
    """Return what becomes of a pass whose model answers one sample otherwise."""
    setting = job(tmp_path, changed=lambda _before, _after: CHANGED)
    monkeypatch.setattr(
        pipeline,
        "_step",
        lambda _best, _n, step, _job: Outcome(step, 1, "applied", None, in_runtime(model(tmp_path, step.name))),
    )
    monkeypatch.setattr(pipeline, "_keep", lambda *_: "see repro")
    step = Step(name=name, config=setting.passes[name].config(), optional=optional)
    return pipeline.held(in_runtime(model(tmp_path, "source")), 2, step, setting)


def test_a_lossless_step_that_changes_a_sample_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PassError) as caught:
        held(tmp_path, monkeypatch, "fuse")
    problem = caught.value.problems[0]
    assert problem.where == "pass 'fuse' (step 3)"
    assert problem.got == CHANGED
    assert "leave 'fuse' out, or mark it `optional: true`; see repro" in str(problem.fix)


@pytest.mark.parametrize("name", ["fuse", "export"])
def test_an_optional_one_is_dropped_with_that_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    outcome = held(tmp_path, monkeypatch, name, optional=True)
    assert (outcome.status, outcome.kept) == ("dropped", None)
    assert outcome.reason == f"a lossless pass changed the model's results: {CHANGED}"


def test_of_a_lossy_step_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert held(tmp_path, monkeypatch, "quantize").status == "applied"


def test_only_a_pass_that_trains_gets_the_data_and_the_worker_gets_the_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No table is read again on the other side: what this run checked is what runs."""
    simplify = table()["simplify"]
    trains = replace(simplify, name="trains", requires=Requires(training=True))
    asked = []

    def work(_log: Path, _execute: Any, pass_: Any, _before: Model, **given: Any) -> Any:
        asked.append((pass_, given["context"].train))
        return {"refused": "never mind", "notes": {}}

    monkeypatch.setattr(pipeline, "run_in_worker", work)
    data = figures(tmp_path).dataset
    setting = job(tmp_path, passes={"simplify": simplify, "trains": trains}, train=data, train_digest=data.digest)
    for name in ("simplify", "trains"):
        step = Step(name=name, config=simplify.config(), optional=True)
        assert pipeline.held(in_runtime(model(tmp_path, "source")), 0, step, setting).status == "refused"
    assert asked == [(simplify, None), (trains, data)]
