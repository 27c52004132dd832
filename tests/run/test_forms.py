"""What a chain leaves to choose from, and what a report says of the steps once one of it is chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaign_parts import model
from deployables import in_runtime

from mlopt.formats.model import ONNX
from mlopt.passes.base import PassConfig
from mlopt.recipe.schema import Step
from mlopt.run.forms import Entrant, Form, entrants, forms
from mlopt.run.outcomes import Outcome, Way
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.base import Deployable, Runtime, RuntimeOptions


class ForOne(PassConfig):
    """A step that writes for one runtime."""

    @property
    def only_in(self) -> tuple[str, str] | None:
        return "onnxruntime", ""


@pytest.fixture(autouse=True)
def _another_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Runtime("other", frozenset({ONNX}), RuntimeOptions, pytest.fail)
    monkeypatch.setattr(runtimes, "BUILTIN", (*runtimes.BUILTIN, other))


def way(folder: Path, chain: str, runtime: str = "onnxruntime") -> Way:
    """Read ``simplify quantize?- fuse*``: ``?`` is optional, ``-`` dropped, ``!`` broken, ``*`` for one runtime."""
    outcomes = []
    for text in chain.split():
        name = text.strip("?-!*")
        config = ForOne() if "*" in text else PassConfig()
        status = "dropped" if "-" in text or "!" in text else "applied"
        made = in_runtime(model(folder, f"{name}{'' if runtime == 'onnxruntime' else 2}"))
        outcomes.append(
            Outcome(
                Step(name=name, config=config, optional="?" in text), 1, status, "slower" if "-" in text else None,
                Deployable(made.model, runtime, made.options), broken="!" in text,
            )
        )  # fmt: skip
    source = in_runtime(model(folder, "source"))
    return Way(runtime, source, tuple(outcomes))


def names(folder: Path, *ways: Way, unchanged: str = "source") -> list[str]:
    found = forms(ways, [model(folder, unchanged).digest])
    return [each.name + ("" if each.shippable else " (to compare with)") for each in found]


def test_each_step_leaves_a_form_and_so_does_one_that_was_dropped(tmp_path: Path) -> None:
    assert names(tmp_path, way(tmp_path, "simplify? quantize?- fuse?")) == [
        "source", "after simplify (1)", "after quantize (2)", "after fuse (3)",
    ]  # fmt: skip


def test_what_a_required_step_has_yet_to_change_is_not_shipped(tmp_path: Path) -> None:
    assert names(tmp_path, way(tmp_path, "simplify? quantize fuse?")) == [
        "source (to compare with)", "after quantize (2)", "after fuse (3)",
    ]  # fmt: skip
    assert names(tmp_path, way(tmp_path, "simplify quantize"), unchanged="other") == ["after quantize (2)"]


def test_a_step_that_broke_its_word_leaves_nothing(tmp_path: Path) -> None:
    assert names(tmp_path, way(tmp_path, "simplify?! quantize?")) == ["source", "after quantize (2)"]


def test_a_way_that_came_to_nothing_leaves_nothing(tmp_path: Path) -> None:
    """Its source has been through no step, not even the required ones."""
    lost = Way("other", in_runtime(model(tmp_path, "source")), (), "it was refused")
    assert names(tmp_path, way(tmp_path, "simplify"), lost) == ["source (to compare with)", "after simplify (1)"]


def test_a_model_that_two_ways_made_is_one_form(tmp_path: Path) -> None:
    first, second = way(tmp_path, "simplify? quantize?"), way(tmp_path, "quantize?", "other")
    assert names(tmp_path, first, second) == [
        "source", "after simplify (1)", "after quantize (2)", "after quantize (1, in other)",
    ]  # fmt: skip
    assert names(tmp_path, first, first) == names(tmp_path, first)


def found(every: list[Form], *runtimes_: str) -> list[tuple[str, str, bool]]:
    made: list[Entrant] = list(entrants(every, runtimes_, lambda one: (one,)))
    return [(each.form.name, each.deployable.runtime, each.shippable) for each in made]


def test_each_form_enters_in_each_runtime_that_reads_it(tmp_path: Path) -> None:
    every = forms([way(tmp_path, "simplify fuse?*")], [])
    assert found(every, "onnxruntime", "other", "torch") == [
        ("after simplify (1)", "onnxruntime", True), ("after simplify (1)", "other", True),
        ("after fuse (2)", "onnxruntime", True),
    ]  # fmt: skip


def test_a_required_step_for_one_runtime_is_owed_there_alone(tmp_path: Path) -> None:
    every = forms([way(tmp_path, "simplify fuse*")], [])
    assert found(every, "onnxruntime", "other") == [
        ("after simplify (1)", "other", True), ("after fuse (2)", "onnxruntime", True),
    ]  # fmt: skip


def test_a_required_step_that_changed_nothing_is_done_all_the_same(tmp_path: Path) -> None:
    came = way(tmp_path, "simplify fuse*")
    first, second = came.outcomes
    same = replace(came, outcomes=(first, replace(second, deployable=first.deployable)))
    assert found(forms([same], []), "onnxruntime", "other") == [
        ("after simplify (1)", "other", True), ("after fuse (2)", "onnxruntime", True),
    ]  # fmt: skip
    optional = replace(second, deployable=first.deployable, step=second.step.model_copy(update={"optional": True}))
    assert found(forms([replace(same, outcomes=(first, optional))], []), "onnxruntime", "other") == [
        ("after simplify (1)", "onnxruntime", True), ("after simplify (1)", "other", True),
    ]  # fmt: skip


def statuses(outcomes: Any) -> list[str]:
    return [f"{each.step.name} {each.status}" for each in outcomes]


def test_the_steps_tell_how_what_is_shipped_came_to_be(tmp_path: Path) -> None:
    every = forms([way(tmp_path, "simplify? quantize?- fuse?")], [])
    shipped = {each.name: Deployable(each.deployable.model, "other", each.deployable.options) for each in every}

    def told(name: str) -> tuple[Outcome, ...]:
        return next(each for each in every if each.name == name).outcomes(shipped[name])

    assert statuses(told("source")) == ["simplify dropped", "quantize dropped", "fuse dropped"]
    assert statuses(told("after simplify (1)")) == ["simplify applied", "quantize dropped", "fuse dropped"]
    assert statuses(told("after fuse (3)")) == ["simplify applied", "quantize dropped", "fuse applied"]
    quantized = told("after quantize (2)")
    assert statuses(quantized) == ["simplify applied", "quantize applied", "fuse dropped"]
    assert quantized[1].reason == "it is the fastest, in other"
    assert quantized[1].notes == {"dropped before": "slower"}
    for name, one in shipped.items():
        kept = [each.kept for each in told(name) if each.kept is not None]
        assert name == "source" or kept[-1] == one


def test_no_two_entrants_have_one_name(tmp_path: Path) -> None:
    every = forms([way(tmp_path, "simplify? quantize?- fuse?")], [])
    made = list(entrants(every, ["onnxruntime", "other"], lambda one: (one,)))
    assert len({each.name for each in made}) == len(made)


def test_options_that_a_step_has_chosen_are_tried_in_its_runtime_beside_the_usual_ones(tmp_path: Path) -> None:
    made = way(tmp_path, "simplify? tune?")
    simplified = made.outcomes[0].deployable
    assert simplified is not None
    options = simplified.options.model_copy(update={"graph_optimization": "basic"})
    tuned = replace(made.outcomes[1], deployable=replace(simplified, options=options))
    every = forms([replace(made, outcomes=(made.outcomes[0], tuned))], [])
    assert found(every, "onnxruntime", "other") == [
        ("source", "onnxruntime", True), ("source", "other", True), ("after simplify (1)", "onnxruntime", True),
        ("after simplify (1)", "other", True), ("after tune (2)", "onnxruntime", True),
    ]  # fmt: skip
    (last,) = (
        each for each in entrants(every, ["onnxruntime"], lambda one: (one,)) if each.form.name == "after tune (2)"
    )
    assert last.deployable.options == options
