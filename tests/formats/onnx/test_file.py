"""Opening an ONNX file: the interface that it declares, and files of other kinds."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from mlopt.core.errors import ModelError
from mlopt.formats.onnx.file import check_ranks, open_onnx


def test_a_size_of_minus_one_is_free(tmp_path: Path) -> None:
    """So PaddlePaddle writes it, and onnxruntime takes it."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [-1, 3, "w"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ports[:1], ports[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    model = open_onnx(tmp_path / "m.onnx")
    assert [spec.shape for spec in (*model.inputs, *model.outputs)] == [("x_0", 3, "w"), ("y_0", 3, "w")]
    assert model.inputs[0].dynamic_axes == (0, 2)


def test_onnxruntimes_own_format_is_told_from_damage(tmp_path: Path) -> None:
    (tmp_path / "m.ort").write_bytes(b"\x18\x00\x00\x00ORTM" + bytes(64))
    with pytest.raises(ModelError, match="ONNX Runtime's own format"):
        open_onnx(tmp_path / "m.ort")


def test_a_free_size_is_none_where_work_is_counted(tmp_path: Path) -> None:
    from mlopt.artifact.inspection import inspect_model

    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [-1, 4]) for name in "xy"]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 4], [1.0] * 16)
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ports[:1], ports[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    found = inspect_model(tmp_path / "m.onnx")
    assert found.macs == 16
    assert found.precision.floats == ("MatMul_0",)  # as `exclude` takes it


def test_an_input_of_unknown_rank_is_told_from_a_scalar(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in ("scale", "x")]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["scale", "x"], ["y"])], "g", inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(proto, path)
    check_ranks(open_onnx(path))
    proto.graph.input[1].type.tensor_type.ClearField("shape")
    onnx.save(proto, path)
    with pytest.raises(ModelError, match="does not say how many axes") as raised:
        check_ranks(open_onnx(path))
    assert str(raised.value.problems[0].where).endswith("'x'")
    fix = str(raised.value.problems[0].fix)
    exec(fix.split("`")[1], {"model": proto, "onnx": onnx})
    onnx.save(proto, path)
    assert open_onnx(path).inputs[1].shape == ("batch", 3)
    check_ranks(open_onnx(path))
