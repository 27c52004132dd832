from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.recipe.yaml_reader import read_text
from mlopt.recipe.yaml_writer import dump

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=12)
    | st.from_regex(r"[-+.0-9eExXoO_:~<=]{0,6}", fullmatch=True)
)
_DATA = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


@pytest.mark.heavy
@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), _DATA, max_size=4))
def test_what_is_written_is_read_back_equal(data: dict[str, Any]) -> None:
    assert read_text(dump(data), "x").data == data


@pytest.mark.parametrize(
    "text", ["no", "on", "1e-3", "0o17", "1_000", "12:30", "null", "~", "", ".nan", "<<", "2026-01-01"]
)
def test_text_stays_text_for_readers_of_either_version(text: str) -> None:
    written = dump({"key": text})
    assert read_text(written, "x").data == {"key": text}
    assert yaml.safe_load(written) == {"key": text}


def test_the_same_object_twice_is_written_twice() -> None:
    shared = {"a": [1]}
    assert "&" not in dump({"x": shared, "y": shared})
