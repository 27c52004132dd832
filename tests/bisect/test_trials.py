"""A pass tried with nodes excluded: each set once, and the first samples that can tell choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from campaign_parts import Figures, figures, model
from deployables import in_runtime
from toy_chain import World

from mlopt.bisect import trials
from mlopt.bisect.limits import LimitFigure
from mlopt.bisect.suspects import Suspect
from mlopt.bisect.trials import Trials, choose
from mlopt.core.errors import DataError, MeasureError
from mlopt.core.worker import WorkerDiedError
from mlopt.passes.quantize import QuantizeConfig
from mlopt.recipe.schema import Step
from mlopt.run.outcomes import Outcome
from mlopt.runtimes.base import Deployable

TEXT = "name: net\npasses:\n  - quantize: {exclude: [old]}  # mine\n"
STEP = Step(name="quantize", config=QuantizeConfig(exclude=("old",)))
NODES = ("a", "b", "c", "d")


@dataclass
class Play:
    """A pass that is right once the nodes that some samples need are excluded."""

    folder: Path
    patch: pytest.MonkeyPatch
    needs: Mapping[str, set[str] | str] = field(default_factory=lambda: {"calibration": {"b"}, "evaluation": {"b"}})
    """By the samples: the nodes, or why they do not fit."""
    refuses: frozenset[str] = frozenset(NODES)
    """With all of these excluded the pass has nothing left to do."""
    runs: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.patch.setattr(trials, "figures", self.figures)
        self.patch.setattr(trials.loop, "run", self.run)

    def run(self, before: Deployable, steps: Sequence[Step], *_: Any) -> list[Outcome]:
        self.runs += steps
        (step,) = steps
        excluded = set(step.config.exclude) - {"old"}
        if self.refuses <= excluded:
            return [Outcome(step, 1, "refused", "nothing to do")]
        return [
            Outcome(step, 1, "applied", None, in_runtime(model(self.folder, "after-" + "-".join(sorted(excluded)))))
        ]

    def figures(self, _gates: Any, evaluator: Figures, judged: Deployable) -> tuple[LimitFigure, ...]:
        need = self.needs[evaluator.dataset.source]
        if isinstance(need, str):
            raise DataError(need)
        name, *excluded = judged.model.path.stem.split("-")
        return (LimitFigure("fidelity.cosine", ">= 0.9", 0.5, name == "before" or need <= set(excluded)),)

    def trials(self, *roles: str) -> Trials:
        data = {role: SimpleNamespace(source=role, count=len(role)) for role in ("evaluation", *roles)}
        evaluator = Figures(cast(Any, data["evaluation"]), self.folder)
        job = World().job()
        prepared = SimpleNamespace(
            source=model(self.folder, "before"), data=data, evaluator=evaluator, job=job,
            planned=SimpleNamespace(
                started=SimpleNamespace(notify=lambda *_: None, scratch=self.folder),
                loaded=SimpleNamespace(text=TEXT, recipe=SimpleNamespace(passes=(STEP,))),
            ),
        )  # fmt: skip
        before, after = (in_runtime(model(self.folder, name)) for name in ("before", "after"))
        made = Trials(cast(Any, prepared), (), 0, before, after, frozenset())
        made.__dict__["ranked"] = [Suspect(node, "Conv", None, None, None) for node in NODES]
        return made


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    return Play(tmp_path, monkeypatch)


def test_what_is_excluded_comes_to_what_was_and_a_name_matches_itself_alone(play: Play) -> None:
    config = play.trials().excluding(["/a[0]", "b*"]).config
    old, first, second = config.exclude  # type: ignore[attr-defined]
    assert old == "old"
    assert [fnmatchcase(name, first) for name in ("/a[0]", "/a0")] == [True, False]
    assert [fnmatchcase(name, second) for name in ("b*", "b2")] == [True, False]
    assert STEP.config.exclude == ("old",)  # type: ignore[attr-defined]


def test_a_set_is_tried_once_in_whatever_order_it_is_asked_for(play: Play) -> None:
    tried = play.trials()
    assert tried.without(["b", "a"]) is tried.without(["a", "b"])
    assert [step.config.exclude for step in play.runs] == [("old", "a", "b")]  # type: ignore[attr-defined]
    assert play.runs[0].optional  # that it fails is a result, too


@pytest.mark.parametrize(("status", "enough"), [("refused", True), ("failed", False)])
def test_a_pass_with_nothing_left_to_do_breaks_no_limit_and_one_that_fails_proves_nothing(
    play: Play, monkeypatch: pytest.MonkeyPatch, status: str, enough: bool
) -> None:
    monkeypatch.setattr(trials.loop, "run", lambda *_: [Outcome(STEP, 1, status, "why")])
    assert play.trials().enough(figures(play.folder), ["a"]) is enough


def test_a_pass_that_wrote_nothing_has_no_trials_and_what_it_left_alone_is_spared(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = play.trials()
    with pytest.raises(ValueError, match="'quantize' wrote no model"):
        Trials.of(parts.prepared, (), 0, parts.before, Outcome(STEP, 1, "refused", "nothing to do"))
    monkeypatch.setattr(trials, "untouched", lambda _before, _after: frozenset({"a"}))
    noted = Outcome(STEP, 1, "applied", None, parts.after, notes={"left_alone": ["b"], "kept_fp32": ["c"], "n": 1})
    assert Trials.of(parts.prepared, (), 0, parts.before, noted).spared == {"a", "b", "c"}


def test_models_that_cannot_be_compared_are_told_with_the_pass(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    def died(*_: Any) -> Any:
        raise WorkerDiedError("it was ended by SIGSEGV")

    monkeypatch.setattr(trials, "run_in_worker", died)
    tried = play.trials()
    del tried.__dict__["ranked"]
    with pytest.raises(MeasureError, match="cannot be compared") as caught:
        _ = tried.ranked
    assert caught.value.problems[0].where == "pass 'quantize'"


def test_calibration_samples_choose_and_evaluation_samples_confirm(play: Play) -> None:
    notes: list[str] = []
    chosen = choose(play.trials("calibration"), notes)
    assert chosen is not None
    assert [each.node for each in chosen.nodes] == ["b"]
    assert (chosen.by, chosen.samples) == ("calibration", len("calibration"))
    assert (chosen.before[0].holds, chosen.after[0].holds, chosen.result[0].holds) == (False, True, True)
    assert "exclude: [old, b]}  # mine" in chosen.edited.text
    assert notes == []


def test_what_calibration_samples_chose_in_vain_is_said_and_evaluation_samples_choose(play: Play) -> None:
    play.needs = {"calibration": {"b"}, "evaluation": {"b", "d"}}
    notes: list[str] = []
    chosen = choose(play.trials("calibration"), notes)
    assert chosen is not None
    assert ([each.node for each in chosen.nodes], chosen.by) == (["b", "d"], "evaluation")
    assert notes[0] == "with what the calibration samples chose (b), the chain ends beyond a limit"
    assert notes[1].startswith("the samples that chose also judge")


@pytest.mark.parametrize(
    ("need", "why"),
    [("the metric needs labels", "the metric needs labels"), (set(), "on them no limit is broken")],
)
def test_samples_that_cannot_tell_right_from_wrong_do_not_choose(play: Play, need: set[str] | str, why: str) -> None:
    play.needs = {"calibration": need, "evaluation": {"b"}}
    notes: list[str] = []
    chosen = choose(play.trials("calibration"), notes)
    assert chosen is not None
    assert chosen.by == "evaluation"
    assert notes[0] == f"the calibration samples could not choose: {why}"


def test_where_only_a_pass_that_does_nothing_would_do_there_is_no_choice(play: Play) -> None:
    play.needs = {"evaluation": set(NODES)}
    notes: list[str] = []
    assert choose(play.trials(), notes) is None
    assert notes == ["on the evaluation samples no exclusion is enough and leaves the pass something to do"]
