from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from mlopt.cli.recipe import app
from mlopt.core.errors import OutputError, RecipeError

RUNNER = CliRunner()


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Softmax", ["x"], ["y"])],
        "g",
        [value("x", onnx.TensorProto.FLOAT, ("n", 4))],
        [value("y", onnx.TensorProto.FLOAT, ("n", 4))],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]), "net.onnx")
    np.savez("x.npz", x=np.random.default_rng(0).random((6, 4), np.float32))
    return Path("net.onnx")


def test_init_writes_a_recipe_that_check_accepts(model: Path) -> None:
    assert RUNNER.invoke(app, ["init", str(model), "--data", "x.npz"], catch_exceptions=False).exit_code == 0
    checked = RUNNER.invoke(app, ["check", "net.yaml"], catch_exceptions=False)
    assert checked.stdout == "net.yaml: ok: simplify > quantize > fuse\n"


def test_init_never_overwrites(model: Path) -> None:
    Path("mine.yaml").write_text("my work")
    result = RUNNER.invoke(app, ["init", str(model), "-o", "mine.yaml"])
    assert isinstance(result.exception, OutputError)
    assert Path("mine.yaml").read_text() == "my work"
    result = RUNNER.invoke(app, ["init", str(model), "-o", "no/folder/r.yaml"])
    assert isinstance(result.exception, OutputError)


def test_check_reports_what_the_pipeline_finds_with_its_place(model: Path) -> None:
    Path("r.yaml").write_text(
        "apiVersion: mlopt/v1\nname: m\nmodel: {source: net.onnx}\npasses:\n  - simplify\n  - export: {opset: 20}\n"
    )
    result = RUNNER.invoke(app, ["check", "r.yaml"])
    assert isinstance(result.exception, RecipeError)
    assert [problem.where for problem in result.exception.problems] == ["r.yaml:6:13"]


def test_check_says_that_the_only_export_cannot_be_optional(model: Path) -> None:
    Path("r.yaml").write_text(
        "apiVersion: mlopt/v1\nname: m\nmodel: {source: net.pt2}\npasses:\n  - export: {optional: true}\n  - simplify\n"
    )
    Path("net.pt2").write_bytes(b"")
    result = RUNNER.invoke(app, ["check", "r.yaml"])
    assert isinstance(result.exception, RecipeError)
    assert [(problem.where, problem.fix) for problem in result.exception.problems] == [
        ("r.yaml:5:13", "leave `optional` out of 'export'")
    ]


def test_check_takes_overrides_and_prints_json(model: Path) -> None:
    RUNNER.invoke(app, ["init", str(model)], catch_exceptions=False)
    result = RUNNER.invoke(app, ["check", "net.yaml", "--set", "target.threads=3", "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["target"]["threads"] == 3


def test_check_gives_advice_on_standard_error(model: Path) -> None:
    RUNNER.invoke(app, ["init", str(model), "--data", "x.npz"], catch_exceptions=False)
    result = RUNNER.invoke(app, ["check", "net.yaml", "--set", "passes=[fuse, quantize]"], catch_exceptions=False)
    assert "`fuse` stands before `quantize`" in result.stderr


def test_schema_is_json_that_accepts_what_init_writes(model: Path) -> None:
    from mlopt.recipe.yaml_reader import read_file

    RUNNER.invoke(app, ["init", str(model), "--data", "x.npz"], catch_exceptions=False)
    schema = json.loads(RUNNER.invoke(app, ["schema"], catch_exceptions=False).stdout)
    Draft202012Validator(schema).validate(read_file(Path("net.yaml")).data)


def test_several_recipes_are_checked_at_once_and_every_problem_names_its_file(model: Path) -> None:
    for name in ("a", "b"):
        Path(f"{name}.yaml").write_text(
            f"apiVersion: mlopt/v1\nname: {name}\nmodel: {{source: net.onnx}}\npasses: [simplify]\n"
        )
    checked = RUNNER.invoke(app, ["check", "a.yaml", "b.yaml"], catch_exceptions=False)
    assert checked.stdout.splitlines() == ["a.yaml: ok: simplify", "b.yaml: ok: simplify"]
    found = json.loads(RUNNER.invoke(app, ["check", "a.yaml", "b.yaml", "--json"]).stdout)
    assert [each["name"] for each in found] == ["a", "b"]
    for name in ("a", "b"):
        Path(f"{name}.yaml").write_text(Path(f"{name}.yaml").read_text().replace("[simplify]", "[export]"))
    error = RUNNER.invoke(app, ["check", "a.yaml", "b.yaml"]).exception
    assert isinstance(error, RecipeError)
    assert {str(each.where).partition(":")[0] for each in error.problems} == {"a.yaml", "b.yaml"}
    for name in ("a", "b"):
        Path(f"{name}.yaml").write_text(Path(f"{name}.yaml").read_text().replace("[export]", "[exprot]"))
    error = RUNNER.invoke(app, ["check", "a.yaml", "b.yaml"]).exception
    assert isinstance(error, RecipeError)
    assert [str(each.where).partition(":")[0] for each in error.problems] == ["a.yaml", "b.yaml"]


def test_anywhere_asks_for_neither_hardware_nor_packages(model: Path) -> None:
    text = (
        "apiVersion: mlopt/v1\nname: m\nmodel: {source: net.onnx}\ntarget: {device: cuda}\n"
        "passes: [simplify, {tensorrt: {backend: tensorrt}}]\n"
    )
    Path("r.yaml").write_text(text)
    assert isinstance(RUNNER.invoke(app, ["check", "r.yaml"]).exception, RecipeError)
    assert RUNNER.invoke(app, ["check", "--anywhere", "r.yaml"], catch_exceptions=False).exit_code == 0
    Path("r.yaml").write_text(text.replace("[simplify,", "[fuse,"))
    error = RUNNER.invoke(app, ["check", "--anywhere", "r.yaml"]).exception
    assert isinstance(error, RecipeError)
    assert "does not read" in error.problems[0].what
