"""What the docs tell people to run in their CI is pinned: a tag can be moved to another commit, a digest cannot."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
