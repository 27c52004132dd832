"""What the parser is given: sizes without names told apart; and in which precision layers are, by the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from tensorrt_graphs import graph, product, quantized

from mlopt.passes.building.readable import precisions, write_readable


def test_sizes_without_a_name_are_told_apart(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["y"], "sum")]
    model = graph(tmp_path / "m.onnx", nodes, {"a": ("?", 8), "b": ("?", 8)}, {"y": ("?", 8)})
    written = onnx.load(write_readable(model, tmp_path / "r.onnx"))
    names = [value.type.tensor_type.shape.dim[0].dim_param for value in written.graph.input]
    assert names == ["a_0", "b_0"]
    assert written.graph.output[0].type.tensor_type.shape.dim[0].WhichOneof("value") is None


def test_sizes_with_a_name_stay(tmp_path: Path) -> None:
    model = product(tmp_path / "m.onnx", "batch")
    assert write_readable(model, tmp_path / "r.onnx") == model.path


def test_precision_is_what_the_graph_says(tmp_path: Path) -> None:
    assert precisions(product(tmp_path / "a.onnx").path) == {"int8": 0.0, "fp16": 0.0}
    assert precisions(quantized(tmp_path / "b.onnx").path) == {"int8": 1.0, "fp16": 0.0}
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], "down", to=onnx.TensorProto.FLOAT16),
        helper.make_node("MatMul", ["h", "w"], ["m"], "half"),
        helper.make_node("Cast", ["m"], ["f"], "up", to=onnx.TensorProto.FLOAT),
        helper.make_node("MatMul", ["f", "v"], ["y"], "full"),
    ]
    weights = {"w": np.eye(8, dtype=np.float16), "v": np.eye(8, dtype=np.float32)}
    assert precisions(graph(tmp_path / "c.onnx", nodes, {"x": (1, 8)}, {"y": (1, 8)}, **weights).path)["fp16"] == 0.5


def test_a_graph_without_layers_has_none_in_any(tmp_path: Path) -> None:
    model = graph(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": (1, 8)}, {"y": (1, 8)})
    assert precisions(model.path) == {"int8": 0.0, "fp16": 0.0}
