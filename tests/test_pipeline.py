"""What the chain says of a step that refused, when it comes out of the cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from campaign_parts import OPTIONS, figures, model
from deployables import in_runtime

from mlopt import pipeline
from mlopt.budget import Budget
from mlopt.cache import Store
from mlopt.errors import PassError
from mlopt.passes import table
from mlopt.pipeline import Job, Outcome, Ruling
from mlopt.recipe.schema import Step
from mlopt.runtimes.base import Deployable
from mlopt.target import Objective, Target


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``refused(notes)``: run a step that refuses with these notes, in one cache and one setting each time."""
    passes, parts = table(), figures(tmp_path)
    job = Job(
        "net", passes, Target(), Objective.LATENCY, parts.hardware, (), (), None, "digest", Budget(),
        Store(tmp_path / "cache"), OPTIONS, parts.dataset, None, tmp_path / "logs", tmp_path / "repro",
    )  # fmt: skip

    def run(notes: Mapping[str, Any], *, optional: bool = True) -> Outcome:
        answer = {"refused": "no layer is faster", "notes": dict(notes)}
        monkeypatch.setattr(pipeline, "run_in_worker", lambda *_: answer)
        step = Step(name="quantize", config=passes["quantize"].config(), optional=optional)
        (outcome,) = pipeline.run(
            in_runtime(model(tmp_path, "source")), [step], job, lambda *_: Ruling(None), lambda _detail: None
        )
        return outcome

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


def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *optional: bool) -> list[Outcome]:
    """Run simplify, quantize and fuse, of which the last one changes a sample; each makes a model of its own."""
    passes, parts, asked = table(), figures(tmp_path), []

    def changed(before: Deployable, after: Deployable) -> str | None:
        asked.append((before.model.path.stem, after.model.path.stem))
        return "output 'y', sample 7: value 0 is 1 where 2 was expected" if after.model.path.stem == "fuse" else None

    job = Job(
        "net", passes, Target(), Objective.LATENCY, parts.hardware, (), (), None, "digest", Budget(),
        Store(tmp_path / "cache"), OPTIONS, parts.dataset, None, tmp_path / "logs", tmp_path / "repro", changed,
    )  # fmt: skip
    monkeypatch.setattr(
        pipeline,
        "_step",
        lambda _best, _n, step, _job: Outcome(step, 1, "applied", None, in_runtime(model(tmp_path, step.name))),
    )
    monkeypatch.setattr(pipeline, "_keep", lambda *_: "see repro")
    names = ("simplify", "quantize", "fuse")
    steps = [Step(name=n, config=passes[n].config(), optional=o) for n, o in zip(names, optional, strict=True)]
    outcomes = list(
        pipeline.run(in_runtime(model(tmp_path, "source")), steps, job, lambda *_: Ruling(None), lambda _: None)
    )
    assert asked == [("source", "simplify"), ("quantize", "fuse")]  # of a lossy step, nothing is asked
    return outcomes


def test_a_lossless_step_that_changes_a_sample_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PassError) as caught:
        chain(tmp_path, monkeypatch, False, False, False)
    problem = caught.value.problems[0]
    assert problem.where == "pass 'fuse' (step 3)"
    assert problem.got == "output 'y', sample 7: value 0 is 1 where 2 was expected"
    assert "leave 'fuse' out, or mark it `optional: true`; see repro" in str(problem.fix)


def test_an_optional_one_is_dropped_with_that_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = chain(tmp_path, monkeypatch, False, False, True)[-1]
    assert last.status == "dropped"
    assert str(last.reason).startswith("a lossless pass changed the model's results: output 'y', sample 7")
