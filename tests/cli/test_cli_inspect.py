from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlopt.cli.app import run
from mlopt.inspection import inspect_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Conv 3->8 (3x3) on [batch, 3, 10, 10], then a product whose weight is dequantized."""
    weights = {
        "w": np.zeros((8, 3, 3, 3), np.float32), "q": np.zeros((512, 4), np.int8),
        "s": np.array(0.1, np.float32), "z": np.array(0, np.int8), "shape": np.array([-1, 512], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node("Reshape", ["h", "shape"], ["flat"]),
        helper.make_node("QuantizeLinear", ["flat", "s", "z"], ["fq"]),
        helper.make_node("DequantizeLinear", ["fq", "s", "z"], ["fd"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["qd"]),
        helper.make_node("MatMul", ["fd", "qd"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 10, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="a test"), path)
    return path


def test_what_is_in_the_model_is_counted(model: Path) -> None:
    found = inspect_model(model)
    assert (found.opset, found.domains, found.producer) == (17, {"com.microsoft": 1}, "a test")
    assert found.operators == {"DequantizeLinear": 2, "Conv": 1, "MatMul": 1, "QuantizeLinear": 1, "Reshape": 1}
    assert found.parameters == 8 * 27 + 2048 + 2 + 2
    assert found.weights == {"int8": 2049, "float32": 8 * 27 * 4 + 4, "int64": 16}
    assert found.quantized == (1, 2)
    assert found.macs == 8 * 8 * 8 * 27 + 512 * 4


def test_a_well_known_network_has_its_published_cost() -> None:
    light = Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx"
    assert inspect_model(light).macs == pytest.approx(4.09e9, rel=0.01)


def test_external_data_counts_and_need_not_be_read(model: Path, tmp_path: Path) -> None:
    inside = inspect_model(model)
    outside = tmp_path / "outside.onnx"
    onnx.save(onnx.load(model), outside, save_as_external_data=True, location="weights.bin", size_threshold=1000)
    found = inspect_model(outside)
    assert found.external_files == ("weights.bin",)
    assert (found.parameters, found.weights, found.macs) == (inside.parameters, inside.weights, inside.macs)


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
    assert "1of2convolutionsandmatrixproducts" in out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.onnx", None, "the model file does not exist"),
        ("empty.onnx", b"", "the model file is empty"),
        ("cut.onnx", b"\x08\x07\x12", "damaged or cut short"),
        ("net.pt2", b"PK", "inspect reads ONNX models"),
    ],
)
def test_a_file_that_is_no_model_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert run(["inspect", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err
