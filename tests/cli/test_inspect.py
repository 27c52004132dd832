from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from quantization_models import branching, encoder

from mlopt.artifact.inspection import Precision, inspect_model
from mlopt.cli.app import run
from mlopt.core.errors import UserError


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
    assert found.values == {"int8": 2049, "float32": 8 * 27 + 1, "int64": 2}
    assert found.precision == Precision(integers=("MatMul_5",), weight_only=(), floats=("Conv_0",), activations=1)
    assert (found.macs, found.macs_reason) == (8 * 8 * 8 * 27 + 512 * 4, None)


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
    assert "1of2layersinintegers;infloatingpoint:Conv_0;1activationsquantized" in out
    assert "x[1,3,10,10]" in out


def one_node(path: Path, node: onnx.NodeProto, weights: dict[str, tuple[int, ...]], shape: list[int | str]) -> Path:
    """Write ``x`` of that shape through one node to ``y``; weights are zeros of these shapes."""
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(dims, np.float32), name) for name, dims in weights.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


NODE = helper.make_node


@pytest.mark.parametrize(
    ("node", "weights", "shape", "macs"),
    [
        (NODE("Conv", ["x", "w"], ["y"], group=4, pads=[1, 1, 1, 1]), {"w": (8, 1, 3, 3)}, ["n", 4, 6, 6], 36 * 8 * 9),
        (NODE("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]), {"w": (4, 5, 2, 2)}, ["n", 4, 6, 6], 4 * 36 * 20),
        (NODE("Gemm", ["x", "w"], ["y"], transA=1), {"w": (3, 7)}, [3, 5], 5 * 7 * 3),
        (NODE("MatMul", ["x", "w"], ["y"]), {"w": (2, 6, 7)}, ["n", 2, 5, 6], 2 * 5 * 6 * 7),
        (NODE("MatMul", ["x", "x"], ["y"]), {}, [3, 4, 4], 3 * 4 * 4 * 4),
        (
            NODE("LSTM", ["x", "w", "r"], ["y"], hidden_size=3), {"w": (1, 12, 5), "r": (1, 12, 3)}, [9, 2, 5],
            9 * 2 * 12 * (5 + 3),
        ),
        (
            NODE("GRU", ["x", "w", "r"], ["y"], hidden_size=3), {"w": (1, 9, 5), "r": (1, 9, 3)}, ["n", 2, 5],
            2 * 9 * (5 + 3),
        ),
        (
            NODE("FusedConv", ["x", "w"], ["y"], domain="com.microsoft", activation="Relu"), {"w": (2, 4, 1, 1)},
            ["n", 4, 6, 6], 36 * 2 * 4,
        ),
        (NODE("Relu", ["x"], ["y"]), {}, ["n", 4], 0),
    ],
)  # fmt: skip
def test_multiplications_are_counted(
    tmp_path: Path, node: onnx.NodeProto, weights: dict[str, tuple[int, ...]], shape: list[int | str], macs: int
) -> None:
    found = inspect_model(one_node(tmp_path / "m.onnx", node, weights, shape))
    assert (found.macs, found.macs_reason) == (macs, None)


def test_weights_of_four_bits_count_one_by_one(tmp_path: Path) -> None:
    inputs = ["x", "w", "s"]
    node = NODE("MatMulNBits", inputs, ["y"], domain="com.microsoft", K=64, N=8, bits=4, block_size=32)
    path = one_node(tmp_path / "m.onnx", node, {"s": (16,)}, ["n", 5, 64])
    proto = onnx.load(path)
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros((8, 2, 16), np.uint8), "w"))
    onnx.save(proto, path)
    found = inspect_model(path)
    assert found.values == {"uint4": 512, "float32": 16}
    assert found.weights == {"uint8": 256, "float32": 64}
    assert found.precision.weight_only == ("MatMulNBits_0",)
    assert found.macs == 5 * 64 * 8


def test_what_an_operator_costs_that_is_not_known_is_not_called_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = NODE("Attention", ["x", "w"], ["y"], domain="com.microsoft", name="heads", num_heads=2)
    path = one_node(tmp_path / "m.onnx", node, {"w": (4, 12)}, ["n", 5, 4])
    found = inspect_model(path)
    assert (found.macs, found.macs_reason) == (None, "the cost of node 'heads' (Attention) is not known")
    assert run(["inspect", str(path)]) == 0
    assert "unknown: the cost of node" in capsys.readouterr().out


def test_of_two_branches_the_larger_one_counts(tmp_path: Path) -> None:
    assert inspect_model(branching(tmp_path / "m.onnx")).macs == 4 * 4 * 4 * 3 + 4 * 4 * 4 * 4


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
