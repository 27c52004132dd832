"""Text from outside enters templates quoted; a name that nobody told is an error."""

from __future__ import annotations

import json

import pytest
from jinja2 import UndefinedError

from mlopt.deploy import rendering


def test_a_name_that_nobody_told_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        rendering.render("common/k8s/service.yaml.j2", {})


def test_hostile_text_stays_one_string() -> None:
    hostile = 'a"\n- b: \\ \u202e\x00é'
    assert json.loads(rendering.quoted(hostile)) == hostile
    text = rendering.pbtxt(hostile)
    assert text.isascii()
    assert "\n" not in text
    assert text.count('"') == 2


def test_types_and_sizes_are_tritons() -> None:
    assert rendering.dims(("n", 3, 28)) == "[ -1, 3, 28 ]"
    assert rendering.triton_type("string") == "TYPE_STRING"
