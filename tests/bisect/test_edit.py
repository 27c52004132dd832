"""The exclusion goes into the recipe's text, and nothing else in it changes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.bisect.edit import with_exclusion
from mlopt.recipe.yaml_reader import read_text

HEAD = "# a recipe\nname: net  # named\n"
TAIL = "gates:\n  - {metric: fidelity.cosine, min: 0.99}  # enough\n"

STYLES = {
    "a name alone": ("passes:\n  - quantize  # by hand\n", "passes:\n  - quantize: {exclude: [a, b]}  # by hand\n"),
    "no keys": ("passes:\n  - quantize:\n", "passes:\n  - quantize: {exclude: [a, b]}\n"),
    "null": ("passes:\n  - quantize: null\n", "passes:\n  - quantize: {exclude: [a, b]}\n"),
    "an empty mapping": ("passes:\n  - quantize: {}\n", "passes:\n  - quantize: {exclude: [a, b]}\n"),
    "one line": (
        "passes:\n  - quantize: {mode: static, optional: true}  # kept?\n",
        "passes:\n  - quantize: {mode: static, optional: true, exclude: [a, b]}  # kept?\n",
    ),
    "a trailing comma": (
        "passes:\n  - quantize: {mode: static,}\n",
        "passes:\n  - quantize: {mode: static, exclude: [a, b],}\n",
    ),
    "a block": (
        "passes:\n  - quantize:\n      mode: static  # Q/DQ\n      # more\n  - fuse\n",
        "passes:\n  - quantize:\n      mode: static  # Q/DQ\n      exclude: [a, b]\n      # more\n  - fuse\n",
    ),
    "an older list": (
        "passes:\n  - quantize: {exclude: [x], mode: static}\n",
        "passes:\n  - quantize: {exclude: [x, a, b], mode: static}\n",
    ),
    "an older list as a block": (
        "passes:\n- quantize:\n    exclude:\n    - x\n    # why\n    mode: static\n",
        "passes:\n- quantize:\n    exclude: [x, a, b]\n    # why\n    mode: static\n",
    ),
    "all on one line": (
        "passes: [simplify, quantize]\n",
        "passes: [simplify, {quantize: {exclude: [a, b]}}]\n",
    ),
}


@pytest.mark.parametrize("style", STYLES)
def test_only_the_one_step_changes(style: str) -> None:
    before, after = STYLES[style]
    number = 1 if "[simplify" in before else 0
    edited = with_exclusion(HEAD + before + TAIL, number, ["a", "b"])
    assert edited.whole
    assert edited.text == HEAD + after + TAIL


def test_the_step_is_shown_as_it_stands() -> None:
    block = with_exclusion("passes:\n  - quantize:\n      mode: static  # Q/DQ\n  - fuse\n", 0, ["a"])
    assert block.step == "  - quantize:\n      mode: static  # Q/DQ\n      exclude: [a]"
    line = with_exclusion("passes: [simplify, quantize: {mode: static}]\n", 1, ["a"])
    assert line.step == "- quantize: {mode: static, exclude: [a]}"


def test_a_recipe_in_an_unusual_style_is_written_anew_and_this_is_said() -> None:
    edited = with_exclusion("passes:\n  - {quantize}  # odd\n", 0, ["a"])
    assert not edited.whole
    assert edited.text == "passes:\n  - quantize:\n      exclude: [a]\n"


NAMES = st.lists(st.text(min_size=1, max_size=130).filter(lambda name: name.isprintable()), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(STYLES)), NAMES)
def test_every_name_comes_back(style: str, names: list[str]) -> None:
    before = HEAD + STYLES[style][0] + TAIL
    number = 1 if "[simplify" in before else 0
    text = with_exclusion(before, number, names).text
    old, new = read_text(before, "r").data, read_text(text, "r").data
    step = old["passes"][number]
    body = (step["quantize"] if isinstance(step, dict) else None) or {}
    old["passes"][number] = {"quantize": body | {"exclude": [*body.get("exclude", []), *names]}}
    assert new == old
