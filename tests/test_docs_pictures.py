"""Pictures of the documentation say nothing that the program does not: verbs, engines, and what is drawn is shown."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from told_commands import verb_of

from mlopt.cli.program import PANELS
from mlopt.deploy.table import ENGINES

DOCS = Path(__file__).parents[1] / "docs"
WAY = DOCS / "images" / "recipe-to-rollback.svg"
_SVG = "{http://www.w3.org/2000/svg}"
TEXTS = ["".join(each.itertext()) for each in ET.parse(WAY).getroot().iter(f"{_SVG}text")]
COMMANDS = [found for text in TEXTS for found in re.findall(r"\bmlopt [a-z][a-z -]*", text)]


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 15
    named = {command.split()[1] for command in COMMANDS}
    assert {*PANELS["Bring it into service"], "optimize", "tune", "verify", "doctor"} <= named


@pytest.mark.parametrize("command", COMMANDS)
def test_each_verb_is_one_that_there_is(command: str) -> None:
    verb, rest = verb_of(command.split())
    known = {option for each in verb.params for option in each.opts}
    assert set(rest) <= known


def test_the_engines_are_those_of_deploy() -> None:
    assert ", ".join(each.name for each in ENGINES) in TEXTS


def test_it_is_read_in_light_and_dark_and_brings_nothing_along() -> None:
    source = WAY.read_text(encoding="utf-8")
    assert "prefers-color-scheme:dark" in source
    assert not re.search(r"<script|<image|href=|url\((?!#head\))", source)


@pytest.mark.parametrize("page", ["deploy.md", "architecture.md"])
def test_pages_show_it(page: str) -> None:
    assert "(images/recipe-to-rollback.svg)" in (DOCS / page).read_text(encoding="utf-8")


def test_nothing_is_drawn_beyond_the_edge() -> None:
    """Every box lies within the picture, and every text begins in it; how long a text is depends on the font."""
    root = ET.parse(WAY).getroot()
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for rect in root.iter(f"{_SVG}rect"):
        x, y = float(rect.get("x", 0)), float(rect.get("y", 0))
        assert x + float(rect.attrib["width"]) <= width
        assert y + float(rect.attrib["height"]) <= height
