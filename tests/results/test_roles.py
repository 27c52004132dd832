"""The labels of references are written in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import mlopt
from mlopt.results.roles import BASELINE, COMPILED, FASTEST, ON_REQUEST, REFERENCES, SOURCE


def test_reports_of_every_version_call_them_so() -> None:
    assert (BASELINE, SOURCE, COMPILED, FASTEST) == REFERENCES
    assert REFERENCES == ("onnx_fp32", "torch_eager", "torch_compile", "fastest_source")
    assert set(ON_REQUEST) < set(REFERENCES)


def test_no_other_code_spells_a_label() -> None:
    """Prose may: what stands by itself, as a docstring does, is no code."""
    found = []
    for path in Path(mlopt.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                found += [path.name for label in REFERENCES if label in node.value]
    assert sorted(found) == ["roles.py"] * 4
