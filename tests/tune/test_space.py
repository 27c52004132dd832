from __future__ import annotations

import random
from pathlib import Path

import pytest
import tuned_recipe
from hypothesis import given
from hypothesis import strategies as st

from mlopt.passes.table import table
from mlopt.recipe.load import parse
from mlopt.tune.space import AS_IS, RUNTIME, Space, active, key_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("space")
    tuned_recipe.write(folder)
    return folder


@pytest.fixture(scope="module")
def space(folder: Path) -> Space:
    return tuned_recipe.space(folder)


def drawn(space: Space, seed: int) -> dict:
    values = random.Random(seed)
    return space.completed({each.name: values.choice(each.values) for each in space.parameters})


@given(seed=st.integers(0, 2**32))
def test_a_point_has_what_means_something_in_it_and_nothing_else(space: Space, seed: int) -> None:
    point = drawn(space, seed)
    assert set(point) == {each.name for each in space.parameters if active(each, point)}
    assert space.completed(point) == point


def test_what_is_not_searched_stays_as_the_recipe_has_it(folder: Path) -> None:
    space = tuned_recipe.space(folder, only=("passes.quantize.scheme",))
    asked = {"passes.quantize": False, "passes.fuse": 1, "passes.quantize.scheme": "u8s8", "passes.other": 3}
    assert space.completed(asked) == {**space.default, "passes.quantize.scheme": "u8s8"}


@given(seed=st.integers(0, 2**32))
def test_a_point_written_as_overrides_is_the_recipe_that_it_is(space: Space, folder: Path, seed: int) -> None:
    point = drawn(space, seed)
    if space.problem(point) is None:
        overrides = space.overrides(point)
        loaded = parse(tuned_recipe.TEXT, folder / "net.yaml", passes=table(), overrides=overrides)
        assert loaded.recipe == space.recipe_of(point)


def test_the_default_is_the_recipe_as_it_stands(space: Space, folder: Path) -> None:
    assert space.recipe_of(space.default) == tuned_recipe.recipe(folder)
    assert space.problem(space.default) is None


def test_every_point_is_counted_once(folder: Path) -> None:
    small = tuned_recipe.space(folder, only=("passes.simplify", "passes.fuse", "session"))
    every = list(small.points())
    assert len({key_of(point) for point in every}) == len(every) == 2 * 3 * 3
    assert small.count() == len(every)


def test_what_a_recipe_requires_stays(folder: Path) -> None:
    text = tuned_recipe.TEXT.replace("mode: static, optional: true", "mode: static")
    names = {each.name for each in tuned_recipe.space(folder, text).parameters}
    assert "passes.quantize" not in names
    assert "passes.quantize.scheme" in names
    assert "passes.fuse" in names


def test_a_pass_that_needs_nothing_is_tried_where_the_recipe_lacks_it(folder: Path) -> None:
    text = tuned_recipe.TEXT.replace(
        "passes: [simplify, {quantize: {mode: static, optional: true}}, fuse]", "passes: [fuse]"
    )
    space = tuned_recipe.space(folder, text)
    assert [(slot.label, slot.own) for slot in space.slots] == [
        ("simplify", False),
        ("quantize", False),
        ("fuse", True),
    ]
    with_it = space.completed({**space.default, "passes.quantize": True})
    assert [step.name for step in space.recipe_of(with_it).passes] == ["quantize", "fuse"]
    assert space.recipe_of(with_it).passes[0].optional


def test_a_change_of_the_session_is_a_last_step(space: Space) -> None:
    point = space.completed({**space.default, "session.onnxruntime": "spinning: false"})
    assert space.recipe_of(point).passes[-1].name == "tune_session"
    assert space.changes_of(point) == {"spinning": False}
    assert space.changes_of(space.default) == {}
    assert space.default["session.onnxruntime"] == AS_IS


def test_a_step_that_measures_by_itself_is_tried_as_the_recipe_has_it(folder: Path) -> None:
    space = tuned_recipe.space(folder, tuned_recipe.TEXT.replace("mode: static, ", ""))
    assert space.default["passes.quantize.mode"] == "auto"
    assert space.problem(space.default) is None
    without = space.completed({**space.default, "passes.simplify": False})
    assert "measures for minutes" in (space.problem(without) or "")
    assert space.problem(space.completed({**without, "passes.quantize.mode": "static"})) is None


def test_what_one_runtime_alone_reads_is_no_point_of_another(folder: Path) -> None:
    text = tuned_recipe.TEXT.replace("runtime: onnxruntime", "runtime: [onnxruntime, openvino]")
    space = tuned_recipe.space(folder, text, sessions={"onnxruntime": {}, "openvino": {}})
    there = space.completed({RUNTIME: "openvino"})
    assert there["passes.fuse"] is False
    with_it = {**there, "passes.fuse": True, "passes.fuse.level": "extended"}
    assert space.problem(with_it) == "'fuse' writes for onnxruntime"
    assert space.problem(there) is None


def test_only_what_is_named_varies(folder: Path) -> None:
    space = tuned_recipe.space(folder, only=("passes.quantize.scheme",))
    varying = [each.name for each in space.parameters if len(each.values) > 1]
    assert varying == ["passes.quantize.scheme"]
    assert {key_of(point) for point in space.points()} == {
        key_of({**space.default, "passes.quantize.scheme": value}) for value in ("auto", "u8s8", "u8u8", "s8s8")
    }
