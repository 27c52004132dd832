"""The place of each part of a recipe, and the words in which messages show keys and values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.recipe.document import Document, Place, closest, dotted, shorten

ROOT, TARGET, KEY = Place(1, 1, "r.yaml"), Place(4, 9, "r.yaml"), Place(4, 1, "r.yaml")
DOCUMENT = Document({"target": {}}, {("target",): KEY}, {(): ROOT, ("target",): TARGET})


def test_what_has_no_place_has_that_of_what_is_around_it() -> None:
    assert DOCUMENT.value_place(("target", "threads", 0)) == TARGET
    assert DOCUMENT.value_place(("nothing",)) == ROOT
    assert DOCUMENT.key_place(("target",)) == KEY
    assert DOCUMENT.key_place(("target", "thraeds")) == TARGET


def test_a_place_reads_as_editors_take_it_and_an_option_has_no_line() -> None:
    assert str(TARGET) == "r.yaml:4:9"
    assert str(Place(0, 0, "--set target.threads=x")) == "--set target.threads=x"
    assert sorted([TARGET, ROOT, KEY]) == [ROOT, KEY, TARGET]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("target", "threads"), "target.threads"),
        (("passes", 2, "quantize", "scheme"), "passes.quantize.scheme"),
        (("passes", 2), "passes.2"),
        (("gates", 0, "metric"), "gates.0.metric"),
    ],
)
def test_a_path_is_written_as_set_takes_it(path: Any, text: str) -> None:
    assert dotted(path) == text


@given(st.text() | st.lists(st.text()), st.integers(4, 80))
def test_a_value_is_shown_on_one_short_line(value: object, limit: int) -> None:
    shown = shorten(value, limit)
    assert len(shown) <= limit
    assert shown.isprintable()


def test_only_a_word_that_is_close_is_a_hint() -> None:
    assert closest("schme", ["scheme", "mode"]) == "did you mean 'scheme'?"
    assert closest("bananas", ["scheme", "mode"]) is None
