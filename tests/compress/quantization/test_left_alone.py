"""Layers that ``quantize`` leaves alone, each with its reason, held against what the pass does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from openvino_models import FLOAT, graph
from quantization_models import branching, cnn, encoder, random

from mlopt.compress.quantization.left_alone import left_alone


def left(path: Path, *runtimes: str) -> dict[str, str]:
    return {each.node: each.reason for each in left_alone(onnx.load(path), runtimes)}


def test_nothing_is_left_of_layers_with_constant_weights(tmp_path: Path) -> None:
    assert left(cnn(tmp_path / "m.onnx")) == left(encoder(tmp_path / "e.onnx")) == {}


def test_a_product_of_two_computed_matrices_has_no_constant_weight(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["scores"], name="scores"),
        helper.make_node("MatMul", ["t", "w"], ["y"], name="dense"),
    ]
    model = graph(tmp_path / "m.onnx", nodes, {"x": (FLOAT, [4, 4])}, {"scores": FLOAT, "y": FLOAT}, w=random(4, 4))
    assert left(model.path) == {"scores": "it has no constant weight: both of what it multiplies are computed"}


def test_weights_in_other_floats_and_constants_alone_say_so(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["h", "half"], ["y"], name="half"),
        helper.make_node("MatMul", ["w", "v"], ["c"], name="constant"),
    ]
    held = {"half": random(4, 4).astype(np.float16), "w": random(4, 4), "v": random(4, 4)}
    model = graph(tmp_path / "m.onnx", nodes, {"h": (10, ["n", 4])}, {"y": 10, "c": FLOAT}, **held)
    assert left(model.path) == {
        "half": "its weight is float16, not float32",
        "constant": "it computes with constants alone: `simplify` folds it",
    }


def test_operators_without_a_form_in_int8_are_named(tmp_path: Path) -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up")
    model = graph(tmp_path / "m.onnx", [node], {"x": (FLOAT, ["n", 3, 8, 8])}, {"y": FLOAT}, w=random(3, 4, 2, 2))
    assert left(model.path) == {"up": "it is not written in INT8: quantize changes Conv, MatMul, Gemm and LSTM"}


def test_what_is_inside_a_branch_is_not_looked_into(tmp_path: Path) -> None:
    assert left(branching(tmp_path / "m.onnx")) == {"inner": "inside If nothing is looked into"}


def test_an_lstm_has_a_form_in_int8_for_onnxruntime_alone(tmp_path: Path) -> None:
    node = helper.make_node("LSTM", ["x", "w", "u"], ["y"], name="lstm", hidden_size=4)
    held = {"w": random(1, 16, 3), "u": random(1, 16, 4)}
    path = graph(tmp_path / "m.onnx", [node], {"x": (FLOAT, [5, "n", 3])}, {"y": FLOAT}, **held).path
    assert left(path) == left(path, "onnxruntime") == {}
    assert left(path, "onnxruntime", "openvino") == {
        "lstm": "its form in INT8 is ONNX Runtime's own: not for openvino"
    }  # fmt: skip


def test_a_quantized_model_has_been_through_it(tmp_path: Path) -> None:
    proto = onnx.load(branching(tmp_path / "m.onnx"))
    proto.graph.node.append(helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]))
    assert left_alone(proto) == ()
