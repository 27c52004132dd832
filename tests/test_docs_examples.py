"""What is there for others' CI: the action, the hooks, and docs in which actions are pinned by digest, as tags move."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mlopt.cli.program import program

ROOT = Path(__file__).parents[1]
DOCS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
OWN = "- uses: OWNER/mlopt@REVISION"
"""This repository's own action, wherever it is hosted; whoever uses it puts in a digest."""
LINES = [(file.name, line.strip()) for file in DOCS for line in file.read_text().splitlines()]
USES = [(name, line) for name, line in LINES if "uses:" in line and line != OWN]


def test_there_are_examples() -> None:
    assert len(USES) >= 6


@pytest.mark.parametrize(("file", "line"), USES)
def test_an_action_is_pinned_by_digest_with_its_tag_beside(file: str, line: str) -> None:
    assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), f"{file}: {line}"


def test_the_action_hands_every_input_over_as_a_variable() -> None:
    """An input that stood in the script itself would be read as part of it."""
    described = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    scripts = [step["run"] for step in described["runs"]["steps"]]
    given = {value for step in described["runs"]["steps"] for value in step.get("env", {}).values()}
    assert not any("${{" in script for script in scripts)
    assert {f"${{{{ inputs.{name} }}}}" for name in described["inputs"]} == given


def test_each_hook_runs_a_command_that_is_there() -> None:
    group = program()
    for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")):
        _, name, verb, *options = hook["entry"].split()
        known = {option for each in group.commands[name].commands[verb].params for option in each.opts}
        assert set(options) <= known
        assert re.compile(hook["files"]).search(
            f"{name.removesuffix('s')}s/model.{'json' if name == 'baseline' else 'yaml'}"
        )
