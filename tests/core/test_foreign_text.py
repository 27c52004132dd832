"""The door for text of strangers: all of it is shown, none of it does anything, and what is harmless is left alone."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hostile_texts import CORPUS, is_inert
from hypothesis import given
from hypothesis import strategies as st

from mlopt.core.foreign_text import as_json, as_shown, inert, plain, visible


@given(st.text() | st.lists(st.sampled_from(CORPUS)).map("".join) | st.lists(st.sampled_from(CORPUS)).map("\n".join))
def test_the_door(text: str) -> None:
    assert is_inert(inert(text))
    assert inert(inert(text)) == inert(text)
    assert "\n" not in plain(text)
    assert all(unicodedata.category(c)[0] != "C" or c in "\n\t" for c in visible(text))
    assert json.loads(as_json({text: [text]})) == {text: [text]}
    assert all(unicodedata.category(c)[0] != "C" or c == "\n" for c in as_json([text]))


def test_what_is_harmless_stays_as_it_is() -> None:
    for text in ("größe: 3 ms", "日本語", "std::vector", "a [b] c", "x\n\ty", "100 % of #5", "C:\\x"):
        assert inert(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", "\\x3a:error::x"), ("a\n  ::error::x", "a\n  \\x3a:error::x"), ("x ##vso[a]", "x \\x23#vso[a]"),
        ("##[ERROR]x", "\\x23#[ERROR]x"), ("\x1b[31mred", "\ufffd[31mred"),
    ],
)  # fmt: skip
def test_what_does_something_stays_readable(text: str, shown: str) -> None:
    assert inert(text) == shown


def test_one_line_is_made_of_several() -> None:
    assert plain(" a\n\tb\r\n c ") == "a b c"


def test_figures_and_markup_of_ones_own_are_shown_as_they_are() -> None:
    class Markup(str):
        """Text that somebody has escaped already."""

    own = Markup("\x1b")
    assert as_shown(own) is own
    assert as_shown(3) == 3
    assert as_shown("\x1b") == "\ufffd"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, -float("inf")]])
def test_no_json_document_holds_what_json_does_not_know(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json(value)
