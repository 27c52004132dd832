"""What keeps the house in order beside its ground plan: names, tests, few places, and help that needs nothing heavy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from ground_plan import modules

import mlopt

ROOT = Path(mlopt.__file__).parent
HEAVY = {"torch", "onnx", "onnxruntime", "numpy", "pydantic", "matplotlib", "cryptography", "jinja2", "yaml"}


def test_what_is_passed_by_its_place_can_be_counted_at_a_glance() -> None:
    """At most six; only the fields of a binary header, which `struct` takes in their order, are more."""
    found = []
    for name, path in modules(ROOT).items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and len(node.args) > 6:
                called = ast.unparse(node.func)
                found += [f"{name}:{node.lineno} calls {called}"] if not called.endswith(".pack") else []
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                places = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
                if len(places) - (places[:1] in (["self"], ["cls"])) > 6:
                    found.append(f"{name}:{node.lineno} defines {node.name}")
    assert found == []


def test_every_module_says_why_it_exists() -> None:
    silent = [name for name, path in modules(ROOT).items() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []


@pytest.mark.process
def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, json, contextlib, io; from mlopt.cli.app import run\n"
        "with contextlib.redirect_stdout(io.StringIO()): run(['--help'])\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert HEAVY & set(json.loads(printed)) == set()


def test_each_module_has_tests_under_its_own_name() -> None:
    """``a/b/c.py`` is tested in ``tests/a/b/test_c.py``, or ``test_b_c.py`` where that name is taken."""
    tests = Path(__file__).parent
    missing = []
    for path in sorted(ROOT.rglob("*.py")):
        module = path.relative_to(ROOT)
        names = (f"test_{path.stem}.py", f"test_{module.parent.name}_{path.stem}.py")
        if not path.stem.startswith("__") and not any((tests / module.parent / name).exists() for name in names):
            missing.append(str(module))
    assert missing == []


def test_no_two_classes_have_one_name() -> None:
    """Private ones aside, and ``Session``: a runtime's, and what ``mlopt.load`` returns around it."""
    found: dict[str, list[str]] = {}
    for path in ROOT.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: files for name, files in found.items() if len(files) > 1 and name != "Session"} == {}
