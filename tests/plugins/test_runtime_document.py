"""The examples in docs/writing-a-runtime.md are the package that the tests beside this one use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "writing-a-runtime.md"
PACKAGE = Path(__file__).parent / "outside"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("number", "name"), [(0, "toy_format"), (1, "toy_runtime")])
def test_an_example_is_what_is_tested(number: int, name: str) -> None:
    assert EXAMPLES[number] == (PACKAGE / "mlopt_outside" / f"{name}.py").read_text(encoding="utf-8")


def test_the_entry_points_are_those_of_the_package() -> None:
    written = (PACKAGE / "mlopt_outside-1.0.dist-info" / "entry_points.txt").read_text(encoding="utf-8")
    for name, value in re.findall(r'^(toy\w*) = "(.*)"$', DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE):
        assert f"{name} = {value}\n" in written
