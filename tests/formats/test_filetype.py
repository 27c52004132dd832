"""A file of another kind than the command takes is named, with the command that takes it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from gate_evidence import report as example_report

from mlopt import report
from mlopt.cli.app import run
from mlopt.formats.filetype import told

GRAPH = onnx.helper.make_graph(
    [onnx.helper.make_node("Relu", ["x"], ["y"])], "g",
    [onnx.helper.make_tensor_value_info("x", 1, ["n", 4])], [onnx.helper.make_tensor_value_info("y", 1, ["n", 4])],
)  # fmt: skip
MODEL = onnx.helper.make_model(GRAPH, opset_imports=[onnx.helper.make_opsetid("", 20)])


def zipped() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros(3))
    return buffer.getvalue()


FILES = {
    "model.onnx": (MODEL.SerializeToString(), "an ONNX model"),
    "report.json": (report.to_json(example_report()).encode(), "a report of mlopt"),
    "study.json": (b'{"schema": "mlopt.study/v1", "name": "x"}', "a study of mlopt"),
    "mlopt.json": (b'{"schema": "mlopt.artifact/v1", "name": "x"}', "the manifest of an artifact"),
    "other.json": (b'{"a": 1}', "JSON of another kind"),
    "list.json": (b"[1, 2", "JSON of another kind"),
    "recipe.yaml": (b"# mine\napiVersion: mlopt/v1\nname: x\n", "a recipe"),
    "notes.txt": (b"hello\n", "text, not a file that mlopt reads"),
    "model.json": (b'{"irVersion": "8", "graph": {}}', "an ONNX model as JSON"),
    "model.textproto": (b"ir_version: 8\n", "an ONNX model as text"),
    "x.npz": (zipped(), "data (.npz)"),
    "weights.bin": (b"\x80\x04\x95abc", "a pickle, and no model"),
    "model.tflite": (b"\x1c\0\0\0TFL3\0\0", "a TensorFlow Lite model"),
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, (content, _) in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_files_are_known_by_what_is_in_them(name: str, files: Path) -> None:
    kind = told(files / name)
    assert kind is not None
    assert kind.name == FILES[name][1]


def test_what_is_not_known_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0\1\2\3")
    assert told(tmp_path / "a") is None
    assert told(tmp_path / "b") is None
    assert told(tmp_path) is None


@pytest.mark.heavy
@pytest.mark.parametrize("name", [*FILES, "folder"])
@pytest.mark.parametrize("verb", ["bench NAME", "bench model.onnx --against NAME", "inspect NAME", "compare NAME NAME",
                                  "gate NAME", "report NAME", "diff NAME NAME", "optimize NAME --no-sign"])  # fmt: skip
def test_another_kind_of_file_is_a_mistake_with_a_way_out(verb: str, name: str, files: Path, capsys: Any) -> None:
    takes = {"optimize": ("model.onnx", "recipe.yaml")}
    takes |= dict.fromkeys(("bench", "inspect", "compare"), ("model.onnx",))
    takes |= dict.fromkeys(("gate", "report", "diff"), ("report.json",))
    if name in takes[verb.split(maxsplit=1)[0]]:
        return
    assert run(verb.replace("NAME", name).split()) == 2
    told = capsys.readouterr().err
    assert "fix" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("bench report.json", ("this is a report of mlopt, where a model belongs", "mlopt gate report.json judges it")),
        ("gate model.onnx", ("this is an ONNX model, where a report belongs", "mlopt bench model.onnx -o bench.json")),
        ("inspect recipe.yaml", ("this is a recipe, where a model belongs", "mlopt optimize recipe.yaml runs it")),
        ("bench folder", ("this folder is no artifact", "check the path")),
        ("optimize report.json", ("this is a report of mlopt, where a recipe or a model belongs", "mlopt gate")),
    ],
)
def test_the_right_command_is_named(command: str, words: tuple[str, ...], files: Path, capsys: Any) -> None:
    run(command.split())
    output = " ".join(capsys.readouterr().err.split())
    assert all(each in output for each in words), output


def test_a_report_that_is_damaged_keeps_its_own_message(files: Path, capsys: Any) -> None:
    whole = json.loads((files / "report.json").read_text())
    (files / "report.json").write_text(json.dumps({**whole, "verdict": "maybe"}))
    assert run(["gate", "report.json"]) == 2
    output = capsys.readouterr().err
    assert "verdict" in output
    assert "where a report belongs" not in output
