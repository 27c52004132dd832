"""``mlopt inspect --runtime``: what runtimes make of a model before any run, and what is answered where none tells."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from inspected_models import partly_quantized
from onnx import helper
from openvino_models import FLOAT, graph, needed
from quantization_models import branching, cnn, random

from mlopt.cli.app import run
from mlopt.cli.inspect_runtime import InRuntimes, show, table
from mlopt.compress.quantization.left_alone import LeftAlone
from mlopt.core.packages import version
from mlopt.measure.runtime_layers import LayerCount, RuntimeLayers

ONE = RuntimeLayers("one", 5, (LayerCount("Conv", "u8", 3), LayerCount("Add", "f32", 2)), 3, (), ("add", "add2"))
NAMES = tuple(f"conv{number}" for number in range(10))
TWO = RuntimeLayers("two", 4, (LayerCount("Conv", "u8", 1), LayerCount("Eltwise", "f32", 3)), 10, NAMES, ())


def told(found: InRuntimes, capsys: pytest.CaptureFixture[str]) -> list[str]:
    show(found)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(["inspect", *words]) == 0
    return capsys.readouterr().out


def test_runtimes_stand_side_by_side() -> None:
    heads, rows = table(InRuntimes(9, (ONE, TWO), True, ()))
    assert heads == ("operator", "precision", "one", "two")
    assert rows == [("Conv", "u8", "3", "1"), ("Add", "f32", "2", ""), ("Eltwise", "f32", "", "3")]


def test_at_most_eight_names_are_told_and_the_rest_counted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(InRuntimes(9, (ONE, TWO), True, ()), capsys)
    assert lines[:2] == ["in one: 5 layers of 9 nodes", "in two: 4 layers of 9 nodes"]
    assert "in floating point in one: 0 of 3 computing layers" in lines
    at = lines.index("in floating point in two: 10 of 10 computing layers:")
    assert lines[at + 1 : at + 10] == [*NAMES[:8], "and 2 more: --json has all"]
    assert lines[lines.index("fused into nothing in one: 2 elementwise layers:") + 1 :][:2] == ["add", "add2"]
    assert "fused into nothing in two: 0 elementwise layers" in lines


def test_of_a_float_model_it_is_told_what_quantize_leaves_and_not_what_is_in_floats(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = told(InRuntimes(9, (TWO,), False, (LeftAlone("up", "ConvTranspose", "a reason"),)), capsys)
    assert not any("floating point" in line for line in lines)
    assert lines[-2:] == ["quantize would leave 1 computing layer alone:", "up (ConvTranspose): a reason"]


def test_a_model_without_a_graph_view_has_layers_of_unknown_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(InRuntimes(0, (ONE,), False, ()), capsys)[0] == "in one: 5 layers"


@pytest.mark.process
def test_what_is_left_in_floats_is_told_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(partly_quantized(tmp_path / "m.onnx"))
    assert "in onnxruntime" not in printed(capsys, path)
    out = printed(capsys, path, "--runtime", "onnxruntime")
    assert "input       x: float32[batch, 3, 10, 10]" in out, "what it tells without --runtime stays"
    assert " of 6 nodes" in out
    assert "in floating point in onnxruntime: 1 of 2 computing layers:\n  h\n" in out
    found = json.loads(printed(capsys, path, "--runtime", "onnxruntime", "--json"))
    (one,) = found["runtimes"]
    assert (one["runtime"], one["floats"], found["nodes"], found["left_by_quantize"]) == ("onnxruntime", ["h"], 6, [])
    assert sum(each["layers"] for each in one["counts"]) == one["layers"]


@pytest.mark.process
def test_what_stands_alone_and_what_quantize_leaves_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["u"], name="up"),
        helper.make_node("Erf", ["u"], ["y"], name="erf"),
    ]
    model = graph(tmp_path / "m.onnx", nodes, {"x": (FLOAT, ["n", 3, 8, 8])}, {"y": FLOAT}, w=random(3, 4, 2, 2))
    out = printed(capsys, str(model.path), "--runtime", "onnxruntime")
    assert "fused into nothing in onnxruntime: 1 elementwise layer:\n  erf\n" in out
    assert "  up (ConvTranspose): it is not written in INT8" in out
    found = json.loads(printed(capsys, str(branching(tmp_path / "b.onnx")), "--runtime", "onnxruntime", "--json"))
    assert [each["node"] for each in found["left_by_quantize"]] == ["inner"]


@needed
@pytest.mark.process
def test_openvino_and_onnxruntime_in_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(cnn(tmp_path / "m.onnx"))
    both = printed(capsys, path, "--runtime", "onnxruntime,openvino", "--format", "csv")
    heads, *rows = csv.reader(io.StringIO(both))
    assert heads == ["operator", "precision", "onnxruntime", "openvino"]
    assert ["Convolution", "f32", "", "2"] in rows


@pytest.mark.process
def test_tables_alone_are_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(cnn(tmp_path / "m.onnx"))
    asked = [path, "--runtime", "onnxruntime", "--layers"]
    operators, layers, runtimes = (
        printed(capsys, *words, "--format", "md") for words in ([path], [path, "--layers"], asked[:3])
    )
    assert operators.startswith("| operator | nodes |\n")
    assert layers.startswith("| layer | operator | weight |")
    assert runtimes.startswith("| operator | precision | onnxruntime |\n")
    assert printed(capsys, *asked, "--format", "md") == f"{layers}\n{runtimes}"
    assert run(["inspect", *asked, "--format", "csv"]) == 2
    assert "--format csv prints one table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("onnxruntim", "did you mean 'onnxruntime'?"),
        ("torch", "the runtime 'torch' does not run this kind of model"),
        pytest.param(
            "openvino", "openvino is not installed",
            marks=pytest.mark.skipif(version("openvino") is not None, reason="openvino is installed"),
        ),
    ],
)  # fmt: skip
def test_a_runtime_that_cannot_be_asked_is_one_error(
    tmp_path: Path, name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", str(cnn(tmp_path / "m.onnx")), "--runtime", name]) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.out == ""
