from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recipe_example import GOOD

from mlopt.core.errors import RecipeError
from mlopt.passes.base import Pass
from mlopt.recipe.load import load
from mlopt.recipe.overrides import apply
from mlopt.recipe.yaml_reader import read_text

Write = Callable[[str], Path]


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("target.threads=4", ("target", "threads"), 4),
        ("measure.seconds=1e1", ("measure", "seconds"), 10.0),
        ("name=no", ("name",), "no"),
        ("seed=", ("seed",), None),
        ("passes.quantize.scheme=u8s8", ("passes", 2, "quantize", "scheme"), "u8s8"),
        ("passes.2.scheme=u8s8", ("passes", 2, "quantize", "scheme"), "u8s8"),
        ("passes.simplify.optional=true", ("passes", 1, "simplify", "optional"), True),
        ("passes.quantize={mode: dynamic}", ("passes", 2, "quantize"), {"mode": "dynamic"}),
        ("passes.1=fuse", ("passes", 1), "fuse"),
        ("passes=[]", ("passes",), []),
        ("gates.0.max=0.1", ("gates", 0, "max"), 0.1),
        ("model.inputs.image.shape=[8, 1, 28, 28]", ("model", "inputs", "image", "shape"), [8, 1, 28, 28]),
        ("name=a=b", ("name",), "a=b"),
    ],
)
def test_an_override_sets_one_value_and_is_its_place(override: str, path: tuple[Any, ...], value: Any) -> None:
    before = read_text(GOOD, "recipe.yaml")
    after = apply(before, [override])
    found = after.data
    for part in path:
        found = found[part]
    assert found == value
    assert str(after.value_place(path)) == str(after.key_place(path)) == f"--set {override}"
    assert before.data == read_text(GOOD, "recipe.yaml").data


def test_overrides_apply_in_order() -> None:
    document = apply(read_text(GOOD, "x"), ["target={threads: 1}", "target.threads=3", "target.device=cuda"])
    assert document.data["target"] == {"threads": 3, "device": "cuda"}


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("set_without_value", ["target.threads"]),
        ("set_unknown_key", ["taget.threads=2"]),
        ("set_unknown_key_in_pass", ["passes.quantize.shceme=u8s8"]),
        ("set_unknown_step", ["passes.quantise.scheme=u8s8"]),
        ("set_wrong_value", ["passes.quantize.scheme=s8u8"]),
        ("set_bad_index", ["gates.7.max=1"]),
        ("set_inside_a_value", ["name.first=x"]),
        ("set_bad_yaml", ["name=[a", "seed=!!int 3"]),
        ("set_ambiguous_step", ["passes=[fuse, fuse]", "passes.fuse.optional=true"]),
    ],
)
def test_messages(
    name: str, overrides: list[str], write_recipe: Write, passes: dict[str, Pass[Any]], golden: Any
) -> None:
    with pytest.raises(RecipeError) as caught:
        load(write_recipe(GOOD), passes=passes, overrides=overrides)
    golden(f"recipe/{name}.txt", f"{caught.value}\n")


@pytest.mark.parametrize(
    "override",
    ["", "=", "=1", ".=1", "a..b=1", "passes.=1", "passes.99=1", "gates.-1.max=1", f"gates.{'9' * 5000}.max=1"],
)
def test_odd_keys_are_recipe_errors(override: str) -> None:
    with pytest.raises(RecipeError):
        apply(read_text(GOOD, "x"), [override])


_KEYS = st.sampled_from(["passes", "gates", "quantize", "0", "2", "99", "name", "model", "inputs", "x", "", "-1"])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(_KEYS, max_size=4).map(".".join),
    st.text(max_size=8),
    st.sampled_from([GOOD, "a: 1", "passes: [1, {}, ~]"]),
)
def test_any_override_is_applied_or_a_recipe_error(key: str, value: str, recipe: str) -> None:
    override = f"{key}={value}"
    with contextlib.suppress(RecipeError):
        after = apply(read_text(recipe, "x"), [override])
        assert f"--set {override}" in {str(place) for place in after.values.values()}
