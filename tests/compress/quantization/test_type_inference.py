"""Types that ONNX's own inference does not know: asked of onnxruntime, and left alone where it does not help."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from quantization_models import random

from mlopt.compress.quantization.type_inference import add_missing_types, untyped


def fused(path: Path, operator: str = "FusedMatMul", *, external: bool = False) -> Path:
    """``y = ArgMax(op(x, w))``, where ``op`` is an operator of onnxruntime's."""
    nodes = [
        helper.make_node(operator, ["x", "w"], ["a"], domain="com.microsoft"),
        helper.make_node("ArgMax", ["a"], ["b"], axis=1),
        helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(random(32, 32), "w")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.save(proto, path, save_as_external_data=external, location="m.data" if external else None, size_threshold=0)
    return path


def types(path: Path) -> dict[str, int]:
    graph = onnx.load(path, load_external_data=False).graph
    return {value.name: value.type.tensor_type.elem_type for value in graph.value_info}


def test_what_operators_of_onnxruntime_write_gets_its_type(tmp_path: Path) -> None:
    path = fused(tmp_path / "m.onnx")
    graph = onnx.load(path).graph
    assert untyped(graph) == ("a", "b")
    add_missing_types(path)
    assert types(path) == {"a": TensorProto.FLOAT, "b": TensorProto.INT64}
    assert [value.name for value in onnx.load(path).graph.output] == ["y"]
    assert untyped(onnx.load(path).graph) == ()


def test_weights_in_another_file_stay_there(tmp_path: Path) -> None:
    path = fused(tmp_path / "m.onnx", external=True)
    add_missing_types(path)
    assert types(path)["a"] == TensorProto.FLOAT
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.data", "m.onnx"]
    np.testing.assert_array_equal(numpy_helper.to_array(onnx.load(path).graph.initializer[0]), random(32, 32))


def test_a_model_that_does_not_load_is_left_as_it_is(tmp_path: Path) -> None:
    path = fused(tmp_path / "m.onnx", "NoSuchOperator")
    before = path.read_bytes()
    add_missing_types(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]


def test_an_entry_that_has_only_a_name_gives_no_type_and_is_filled_in(tmp_path: Path) -> None:
    path = fused(tmp_path / "m.onnx")
    proto = onnx.load(path)
    proto.graph.value_info.append(onnx.ValueInfoProto(name="a"))
    onnx.save(proto, path)
    add_missing_types(path)
    assert types(path) == {"a": TensorProto.FLOAT, "b": TensorProto.INT64}
    assert len(onnx.load(path).graph.value_info) == 2
