"""What is written in half precision: types, constants, and what ONNX and onnxruntime do not take."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from quantization_models import FLOAT, cnn, random
from quantization_models import write as write_graph

from mlopt.compress.half.graph import BF16, FP16, beyond, small_weights, unsupported, write
from mlopt.compress.quantization.graph import prepare
from mlopt.compress.quantization.observe import outputs
from mlopt.compress.quantization.prepared import WorkingCopy
from mlopt.formats.onnx.file import open_onnx, read_graph

PORTS = [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])]


def prepared(model: Path) -> WorkingCopy:
    folder = model.parent / "prepared"
    folder.mkdir()
    return prepare(open_onnx(model), folder)


def everything(given: WorkingCopy) -> frozenset[str]:
    return frozenset(node.name for node in read_graph(given.path).graph.node)


def masked(path: Path) -> Path:
    """MatMul, Add of a constant that is beyond FP16, Mul that undoes it, and a ConstantOfShape of 1e9."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="product"),
        helper.make_node("Add", ["a", "large"], ["b"], name="grow"),
        helper.make_node("Shape", ["b"], ["s"], name="shape"),
        helper.make_node(
            "ConstantOfShape", ["s"], ["c"], name="fill", value=helper.make_tensor("value", FLOAT, [1], [1e9])
        ),
        helper.make_node("Div", ["b", "c"], ["y"], name="shrink"),
    ]
    return write_graph(path, nodes, {"w": random(4, 4), "large": np.float32(3e9).reshape(())}, *PORTS)


def test_bfloat16_keeps_constants_that_fp16_would_clamp(tmp_path: Path) -> None:
    given = prepared(masked(tmp_path / "m.onnx"))
    write(given, everything(given), BF16, tmp_path / "half.onnx")
    proto = onnx.load(tmp_path / "half.onnx")
    onnx.checker.check_model(proto, full_check=True)  # sorted, and types agree
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert {array.dtype for array in weights.values()} == {np.dtype(ml_dtypes.bfloat16)}
    assert weights["large"] == np.array(3e9, dtype=ml_dtypes.bfloat16)
    fill = next(node for node in proto.graph.node if node.op_type == "ConstantOfShape")
    assert numpy_helper.to_array(fill.attribute[0].t) == np.array(1e9, dtype=ml_dtypes.bfloat16)
    types = {value.type.tensor_type.elem_type for value in proto.graph.value_info}
    assert TensorProto.FLOAT16 not in types
    assert [value.type.tensor_type.elem_type for value in (*proto.graph.input, *proto.graph.output)] == [FLOAT, FLOAT]


def test_what_stays_in_fp32_is_cast_at_its_borders(tmp_path: Path) -> None:
    given = prepared(masked(tmp_path / "m.onnx"))
    write(given, frozenset({"product", "shape"}), BF16, tmp_path / "half.onnx")
    proto = onnx.load(tmp_path / "half.onnx")
    onnx.checker.check_model(proto, full_check=True)
    types = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    assert types == {"w": TensorProto.BFLOAT16, "large": TensorProto.FLOAT}


def test_operators_without_bfloat16_at_the_models_opset_are_named(tmp_path: Path) -> None:
    old = unsupported(onnx.load(prepared(cnn(tmp_path / "m.onnx")).path), BF16)
    assert set(old) == {"first", "second", "GlobalAveragePool_4"}
    assert old["first"] == "Conv takes no bfloat16 at opset 20"
    folder = tmp_path / "new"
    folder.mkdir()
    new = prepared(cnn(folder / "m.onnx", opset=22))
    assert unsupported(onnx.load(new.path), BF16) == {}
    assert unsupported(onnx.load(new.path), FP16) == {}


def test_operators_that_runtimes_disagree_on_and_those_of_others_stay(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Max", ["x", "x"], ["m"], name="largest"),
        helper.make_node("Gelu", ["m"], ["y"], name="gelu", domain="com.microsoft"),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", FLOAT, [1])], [info("y", FLOAT, [1])])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    assert unsupported(proto, FP16) == {"largest": "Max stays in FP32"}
    assert unsupported(proto, BF16) == {
        "largest": "Max stays in FP32", "gelu": "Gelu takes no bfloat16 at opset 20"
    }  # fmt: skip


def test_beyond_names_the_tensor_and_not_a_number_counts(tmp_path: Path) -> None:
    graph = read_graph(masked(tmp_path / "m.onnx")).graph
    assert beyond(graph, {"a": 600.0}, 512, FP16)["product"] == "'a' reaches 600"
    assert beyond(graph, {"a": float("nan")}, 512, FP16)["product"] == "'a' reaches nan"
    assert beyond(graph, {}, 512, FP16) == {"grow": "constant 'large' holds 3e+09"}
    assert beyond(graph, {}, 512, BF16) == {}


def test_only_weights_that_are_converted_are_counted_as_small(tmp_path: Path) -> None:
    weight = random(4, 4)
    weight[0, :3] = [1e-9, 1e-6, 0]
    model = write_graph(
        tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"], name="p")], {"w": weight}, *PORTS
    )
    given = prepared(model)
    assert small_weights(given, frozenset({"p"})) == {"weights_subnormal": 1, "weights_rounded_to_smallest": 1}
    assert small_weights(given, frozenset()) == {"weights_subnormal": 0, "weights_rounded_to_smallest": 0}


@pytest.mark.parametrize(
    ("order", "kept"), [([1, 0, 2], True), ([1, 2, 0], True), ([0, 2, 1], False), ([2, 1, 0], False)]
)
def test_a_transpose_that_takes_onnxruntime_down_stays_in_fp32(tmp_path: Path, order: list[int], kept: bool) -> None:
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=order), helper.make_node("MatMul", ["t", "w"], ["y"])]
    x = ("x", FLOAT, [4, 4, 4])
    given = prepared(write_graph(tmp_path / "m.onnx", nodes, {"w": random(4, 4)}, [x], [("y", FLOAT, [4, 4, 4])]))
    left = unsupported(onnx.load(given.path), FP16)
    assert left == ({"Transpose_0": "onnxruntime crashes on a MatMul in FP16 that reads it in FP16"} if kept else {})
    assert unsupported(onnx.load(given.path), BF16).keys() == set()
    write(given, everything(given) - left.keys(), FP16, tmp_path / "half.onnx")
    values = {"x": random(4, 4, 4)}
    expected, got = (outputs(path, values)[0] for path in (tmp_path / "m.onnx", tmp_path / "half.onnx"))
    np.testing.assert_allclose(got, expected, atol=0.02)


def test_an_input_that_is_an_output_keeps_its_type(tmp_path: Path) -> None:
    x, y = ("x", FLOAT, ["n", 4]), ("y", FLOAT, ["n", 4])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    given = prepared(write_graph(tmp_path / "m.onnx", nodes, {"w": random(4, 4)}, [x], [x, y]))
    write(given, everything(given), FP16, tmp_path / "half.onnx")
    values = {"x": random(3, 4)}
    got = outputs(tmp_path / "half.onnx", values)
    np.testing.assert_array_equal(got[0], values["x"])
    np.testing.assert_allclose(got[1], outputs(tmp_path / "m.onnx", values)[1], atol=0.02)
