"""docs/ci.md: its YAML is YAML, its gates are gates, and its commands have the options that they use."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

import mlopt
from mlopt.cli.program import program
from mlopt.recipe.gates_file import load_gates

PAGE = (Path(mlopt.__file__).parents[1] / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
YAML = [text for language, text in BLOCKS if language == "yaml"]
COMMANDS = sorted(
    {
        re.split(r"\s(?:\|\||#)", line)[0].strip()
        for _, text in BLOCKS
        for line in re.findall(r"\bmlopt [a-z]+ [^\n]*(?:\n\s+--[^\n]*)*", text)
    }
)


def test_the_page_has_what_is_tested():
    assert (len(YAML), len(COMMANDS)) >= (3, 8)


@pytest.mark.parametrize("text", YAML)
def test_yaml_is_yaml(text: str):
    assert isinstance(yaml.safe_load(text), dict)


def test_the_gates_are_gates(tmp_path: Path):
    file = tmp_path / "gates.yaml"
    file.write_text(YAML[0], encoding="utf-8")
    assert [gate.vs for gate in load_gates(file)] == ["baseline"] * 3


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_their_options(command: str):
    _, verb, *arguments = shlex.split(command)
    group = program()
    known = {option for each in group.commands[verb].params for option in (*each.opts, *each.secondary_opts)}
    used = {argument for argument in arguments if argument.startswith("-")}
    assert used <= known
