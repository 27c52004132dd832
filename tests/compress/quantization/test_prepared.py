"""The copy that the rewriting tools work on: how it is saved, and what tells a node without a name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from quantization_models import cnn, random

from mlopt.compress.quantization.prepared import first_output, save
from mlopt.formats.onnx.file import open_onnx


def test_weights_are_moved_beside_the_graph_and_back(tmp_path: Path) -> None:
    model = cnn(tmp_path / "m.onnx")
    inside = onnx.load(model)
    save(onnx.load(model), tmp_path / "out.onnx", external=True)
    assert [file.name for file in open_onnx(tmp_path / "out.onnx").files] == ["out.onnx", "out.onnx.data"]
    again = onnx.load(tmp_path / "out.onnx", load_external_data=False)
    (tmp_path / "back").mkdir()
    save(again, tmp_path / "back" / "m.onnx", external=False, source=tmp_path)
    assert [file.name for file in open_onnx(tmp_path / "back" / "m.onnx").files] == ["m.onnx"]
    for one, other in zip(
        inside.graph.initializer, onnx.load(tmp_path / "back" / "m.onnx").graph.initializer, strict=True
    ):
        np.testing.assert_array_equal(numpy_helper.to_array(one), numpy_helper.to_array(other))


def test_each_weight_is_saved_with_a_zero_point_of_its_own(tmp_path: Path) -> None:
    """Where onnxruntime rewrites one layer's weights, a zero point that another one reads would be rewritten, too."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["a"]),
        helper.make_node("DequantizeLinear", ["v", "scale", "zero"], ["b"]),
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("MatMul", ["h", "b"], ["y"]),
    ]
    held = [
        numpy_helper.from_array(np.ones((4, 4), np.int8), "w"), numpy_helper.from_array(np.ones((4, 4), np.int8), "v"),
        numpy_helper.from_array(np.float32(0.1), "scale"), numpy_helper.from_array(np.int8(0), "zero"),
    ]  # fmt: skip
    ports = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4, 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], held)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(proto, tmp_path / "m.onnx", external=False)
    written = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(written)
    assert len({node.input[2] for node in written.graph.node if node.op_type == "DequantizeLinear"}) == 2


def test_a_node_is_told_by_the_first_output_that_it_has() -> None:
    lstm = helper.make_node("LSTM", ["x", "w", "r"], ["", "state", "cell"])
    assert first_output(lstm) == "state"
    assert first_output(helper.make_node("Relu", ["x"], ["y"])) == "y"
    assert first_output(onnx.NodeProto()) == ""


def test_saving_again_over_external_weights_leaves_no_old_file(tmp_path: Path) -> None:
    proto = helper.make_model(helper.make_graph([], "g", [], [], [numpy_helper.from_array(random(64, 64), "w")]))
    save(proto, tmp_path / "m.onnx", external=True)
    assert (tmp_path / "m.onnx.data").exists()
    save(onnx.load(tmp_path / "m.onnx"), tmp_path / "m.onnx", external=False)
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]
