from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from inspected_models import one_node, partly_quantized
from onnx import helper
from packed_artifact import pack
from quantization_models import encoder

from mlopt.artifact.inspection import inspect_model
from mlopt.cli.app import run
from mlopt.core.errors import UserError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return partly_quantized(tmp_path / "model.onnx")


def test_json_goes_to_standard_output(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(model), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 3, 10, 10]}]
    assert printed.err == ""


def test_people_see_the_same_and_nothing_is_cut_off(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(model)]) == 0
    out = "".join(capsys.readouterr().out.split())
    assert inspect_model(model).digest in out
    assert "x:float32[batch,3,10,10]" in out
    assert "1of2layersinintegers;infloatingpoint:Conv_0;1activationsquantized" in out
    assert "x[1,3,10,10]" in out


def test_of_an_artifact_it_says_in_what_it_runs_as_its_manifest_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = pack(tmp_path, None).path
    manifest = json.loads((made / "mlopt.json").read_text())
    assert run(["inspect", str(made)]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("runs in"))
    assert f"{manifest['runtime']} (onnxruntime {manifest['runtime_packages']['onnxruntime']})" in line
    manifest["options"]["note"] = "\x1b[31mred\nline"
    (made / "mlopt.json").write_text(json.dumps(manifest))
    assert run(["inspect", str(made), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["deployed"]["options"] == manifest["options"]
    assert run(["inspect", str(made)]) == 0
    assert "note \ufffd[31mred line" in " ".join(capsys.readouterr().out.split())
    assert inspect_model(made / "model.onnx").deployed is None


NODE = helper.make_node


def test_what_an_operator_costs_that_is_not_known_is_not_called_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = NODE("Attention", ["x", "w"], ["y"], domain="com.microsoft", name="heads", num_heads=2)
    path = one_node(tmp_path / "m.onnx", node, {"w": (4, 12)}, ["n", 5, 4])
    found = inspect_model(path)
    assert (found.macs, found.macs_reason) == (None, "the cost of node 'heads' (Attention) is not known")
    assert run(["inspect", str(path)]) == 0
    assert "unknown: the cost of node" in capsys.readouterr().out


def test_shapes_can_be_asked_for_and_share_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = encoder(tmp_path / "m.onnx")
    each = 16 * 32 + 32 * 4
    assert inspect_model(path).macs == each + 4 * 3
    asked = inspect_model(path, {"ids": (2, 7)})
    assert asked.macs_shapes == {"ids": (2, 7), "offset": (2, 7, 16)}
    assert asked.macs == 2 * (7 * each + 4 * 3)
    assert run(["inspect", str(path), "--shape", "ids=2,7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["macs"] == asked.macs
    np.savez(tmp_path / "d.npz", ids=np.zeros((9, 7), np.int64), offset=np.zeros((9, 7, 16), np.float32))
    assert run(["inspect", str(path), "--data", str(tmp_path / "d.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["macs"] == 7 * each + 4 * 3


def test_a_shape_that_does_not_fit_is_one_error_each(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="the shape does not fit the input"):
        inspect_model(model, {"x": (1, 3, 11, 10)})
    with pytest.raises(UserError, match="the model has no input 'X'"):
        inspect_model(model, {"X": (1, 3, 10, 10)})
    for text in ("x", "x=1,a", "=1,2", "x=0"):
        assert run(["inspect", str(model), "--shape", text]) == 2
        assert "is no shape" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.onnx", None, "the model file does not exist"),
        ("empty.onnx", b"", "the model file is empty"),
        ("cut.onnx", b"\x08\x07\x12", "damaged or cut short"),
        pytest.param("net.pt2", b"PK\x03\x04", "this is not a program of torch.export", marks=pytest.mark.process),
    ],
)
def test_a_file_that_is_no_model_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert run(["inspect", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err


def test_how_many_weights_have_two_zeros_in_four_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = NODE("MatMul", ["x", "w"], ["y"], name="m")
    assert run(["inspect", str(one_node(tmp_path / "zeros.onnx", node, {"w": (8, 3)}, ["n", 8]))]) == 0
    assert "in 1 of 1 weight matrices" in capsys.readouterr().out
    assert run(["inspect", str(one_node(tmp_path / "odd.onnx", node, {"w": (6, 3)}, ["n", 6]))]) == 0
    assert "weight matrices" not in capsys.readouterr().out
