"""Any value in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.report import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"), (True, "yes"), (20, "20"), (1290304, "1,290,304"), (0.1, "0.1"), ("auto", "auto"),
        ({"batch": [2, 1]}, "batch 2, 1"), ([], "none"), ({}, "none"),
        ([{"ratio": 0.5}, {"ratio": 1}], "ratio 0.5; ratio 1"),
    ],
)  # fmt: skip
def test_a_value_reads_as_prose(value: object, text: str) -> None:
    assert words.words(value) == text


def test_a_group_within_a_configuration_names_its_entries() -> None:
    assert words.entries({"a_b": {"c": 1, "d": None}}) == (("a b, c", "1"), ("a b, d", "none"))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("abc", max_size=5)
NESTED = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text("xyz"), inner), max_leaves=20)


@given(NESTED)
def test_nothing_has_braces_or_brackets_and_nothing_is_endless(value: object) -> None:
    said = words.words(value)
    assert not set("{}[]\"'") & set(said)
    assert len(said) <= 400
