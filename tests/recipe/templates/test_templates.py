"""Each template is a whole recipe with the Python that it names, and nothing of it is left to be filled in."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mlopt.cli.app import run
from mlopt.passes.table import table
from mlopt.recipe.load import load
from mlopt.recipe.templates import NAMES, files_of


@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_a_recipe_that_names_what_comes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["recipe", "init", "--template", name]) == 0
    texts = files_of(name)
    assert sorted(texts) == sorted(path.name for path in tmp_path.iterdir())
    loaded = load(tmp_path / next(iter(texts)), passes=table())
    for code in loaded.code.values():
        assert code.path.name in texts
        tree = ast.parse(code.path.read_text())
        assert code.function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert run(["recipe", "init", "--template", name]) == 2  # nothing is overwritten


def test_what_is_no_template_names_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipe", "init", "--template", "yolo"]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in NAMES)
    assert run(["recipe", "init"]) == 2
    assert run(["recipe", "init", "net.onnx", "--template", "onnx"]) == 2
