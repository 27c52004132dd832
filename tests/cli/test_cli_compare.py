"""The verb ``compare``: the table, the JSON, the page, and what it says when two files cannot be compared."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from openvino_models import needed
from packed_artifact import pack
from planted_fault import planted, samples

from mlopt.cli.app import run
from mlopt.core.errors import ExitCode

Pair = tuple[Path, Path]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A network, and the same with zeros for the weights of conv3."""
    a, b = planted(tmp_path / "a.onnx", fault=False), tmp_path / "b.onnx"
    proto = onnx.load(a)
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "w3")
    weight.CopyFrom(numpy_helper.from_array(np.zeros((16, 16, 3, 3), np.float32), "w3"))
    onnx.save(proto, b)
    np.savez(tmp_path / "data.npz", image=samples(6, 5)["image"])
    return a, b


def compare(pair: Pair, *options: object) -> int:
    data = pair[0].with_name("data.npz")
    return run(["compare", *map(str, pair), "--data", str(data), *map(str, options)])


def table(printed: str) -> list[list[str]]:
    """The rows above the first empty line, without their heads."""
    return [line.split() for line in printed.partition("\n\n")[0].splitlines()[1:]]


def test_the_first_divergence_stands_under_the_table(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(pair, "--samples", 4) == 0
    printed = capsys.readouterr().out
    rows = table(printed)
    assert [row[0] for row in rows] == [
        "conv1", "relu1", "conv2", "conv3", "relu3", "conv4", "relu4", "pool", "flatten", "head",
    ]  # fmt: skip
    assert rows[0][:6] == ["conv1", "Conv", "c1", "equal", "equal", "1.00000"]
    assert rows[-1][2:4] == ["logits", "(output)"]
    assert f"compared 10 of 10 tensors on 4 samples ({pair[0].with_name('data.npz')})" in printed
    assert printed.splitlines()[-1].startswith("first divergence: node 'conv3' (Conv), tensor 'c3': ")
    assert printed.splitlines()[-1].endswith("what it is computed from is exact")


def test_the_worst_are_shown_in_the_order_asked_for(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(pair, "--limit", 3, "--sort", "graph") == 0
    printed = capsys.readouterr().out
    names = [row[0] for row in table(printed) if row[0] != "and"]
    assert {"conv3", "head"} < set(names)
    assert len(names) == 3
    assert "and 7 more" in printed
    assert compare(pair, "--limit", 1) == 0
    assert [row[0] for row in table(capsys.readouterr().out)][:2] == ["conv3", "head"]
    assert compare(pair, "--sort", "error") == 0
    figures = [row[-5] for row in table(capsys.readouterr().out)]
    levels = [float("inf") if figure == "equal" else float(figure) for figure in figures]
    assert figures[-1] == "equal"
    assert levels[0] < 10


def test_two_equal_models_are_equal(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", str(pair[0]), str(pair[0])]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "all compared tensors are equal"
    assert "random inputs: --data FILE gives real ones" in printed


def test_the_threshold_decides_what_diverged(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(pair, "--threshold", -300) == 0
    assert "no tensor is below -300 dB: the worst is node " in capsys.readouterr().out


def test_a_threshold_that_is_no_number_is_refused(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(pair, "--threshold", "nan") == 2
    assert "give a number of dB" in capsys.readouterr().err


def test_json_on_standard_output_and_in_a_file(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    file = pair[0].with_name("out.json")
    assert compare(pair, "--json", "-o", file) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(file.read_text(encoding="utf-8"))
    assert (printed["samples"], printed["compared"], printed["tensors"]) == (6, 10, 10)
    assert printed["first_divergence"] == "c3"
    third = printed["differences"][3]
    assert (third["node"], third["op_type"], third["other"], third["reads"]) == ("conv3", "Conv", "c3", ["c2"])
    assert printed["differences"][0]["sqnr_db"] is None


def test_the_page_stands_alone_and_no_name_breaks_out_of_it(pair: Pair) -> None:
    nasty = "<script>alert(1)</script>"
    for path in pair:
        proto = onnx.load(path)
        proto.graph.node[0].name = nasty
        onnx.save(proto, path)
    page = pair[0].with_name("page.html")
    assert compare(pair, "--html", page) == 0
    text = page.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in text
    assert re.search(r"<script|<link|@import|url\((?!#)|(src|href)=\"(?!#)", text) is None
    assert "First divergence: node &#39;conv3&#39;" in text
    assert text.count("<svg") == 1


def test_an_artifact_is_opened_as_it_was_shipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = pack(tmp_path, None).path
    assert run(["compare", str(tmp_path / "source.onnx"), str(artifact), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["b"]["path"] == str(artifact / "model.onnx")
    assert found["first_divergence"] is None


def test_a_runtime_must_be_known_take_the_model_and_be_one_for_each(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(pair, "--runtime", "onnxruntim") == ExitCode.USAGE
    assert "did you mean 'onnxruntime'?" in capsys.readouterr().err
    assert compare(pair, "--runtime", "torch") == ExitCode.USAGE
    assert "the runtime 'torch' does not run this kind of model" in capsys.readouterr().err
    assert compare(pair, "--runtime", "onnxruntime,openvino,torch") == ExitCode.USAGE
    assert "two models run in two runtimes at most" in capsys.readouterr().err
    assert compare(pair, "--runtime", "onnxruntime", "--json") == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["outputs"] is None  # they stand among the tensors


def test_bad_input_is_one_error_with_its_fix(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "other.npz", picture=samples(2)["image"])
    assert run(["compare", *map(str, pair), "--data", str(tmp_path / "other.npz")]) == 2
    assert "the model has no input 'picture'" in (shown := capsys.readouterr().err)
    assert "did you mean 'image'?" in shown
    proto = onnx.load(pair[1])
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    onnx.save(proto, pair[1])
    assert compare(pair) == 2
    assert "only models with the same inputs can be compared" in capsys.readouterr().err
    assert run(["compare", str(pair[0]), str(tmp_path / "absent.onnx")]) == 2
    assert "the model file does not exist" in capsys.readouterr().err


@pytest.mark.process
def test_inputs_are_blamed_only_where_they_were_made_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second model takes fewer ids than were made up to fit the first; real ones may be as many."""
    for name, rows in (("a", 2), ("b", 1)):
        table = numpy_helper.from_array(np.ones((rows, 4), np.float32), "table")
        given = onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["n", 3])
        given_back = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 3, 4])
        node = onnx.helper.make_node("Gather", ["table", "ids"], ["y"], "look up")
        graph = onnx.helper.make_graph([node], "g", [given], [given_back], [table])
        opsets = [onnx.helper.make_opsetid("", 17)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / f"{name}.onnx")
    np.savez(tmp_path / "data.npz", ids=np.ones((2, 3), np.int64))
    pair = ["compare", str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx")]
    assert run(pair) == ExitCode.USAGE
    assert "fix       the inputs were made up, which may be the cause" in capsys.readouterr().err
    assert run([*pair, "--data", str(tmp_path / "data.npz")]) == ExitCode.USAGE
    assert "fix" not in capsys.readouterr().err


def test_threads_are_for_outputs_in_another_runtime(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--runtime", "onnxruntime"]):
        assert compare(pair, "--threads", 1, *more) == ExitCode.USAGE
        assert "it is for outputs in another runtime than onnxruntime" in capsys.readouterr().err


@needed
def test_outputs_are_compared_with_as_many_threads_as_asked_for(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(
        "mlopt.tensors.outputs.compare_outputs",
        lambda *both, **_: asked.extend(each.options.threads for each in both[:2]),
    )
    assert compare(pair, "--runtime", "onnxruntime,openvino", "--threads", 1) == 0
    assert asked == [1, 1]
